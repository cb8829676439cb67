"""Studies: many trainings and measurements from one file, and every table and plot made of them."""
