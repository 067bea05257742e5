"""One file a stage; each is a function of the experiment. What finished is recognised before torch is imported."""
