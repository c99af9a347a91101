"""The reproduction of the paper: data, network, training, experiments."""
