"""Where the cells of a matrix run: processes of this machine, a Ray cluster, or jobs of Slurm."""
