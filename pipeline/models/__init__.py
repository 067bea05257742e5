"""Networks and Lightning modules. They take plain values and know nothing of data sets, files or configs."""
