"""The things that stages make and share: data card, encoder, graph, cells, baselines, comparison."""
