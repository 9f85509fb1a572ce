"""How a run is made: what is trained, the loss of a batch, the loop, and where runs are kept."""
