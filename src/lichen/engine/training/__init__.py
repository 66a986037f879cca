"""training: the parts of the loop `fit`: what is learnt, by which steps, how a killed run goes on."""
