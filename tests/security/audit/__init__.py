"""On the path of a process, this folder lets Python import ``sitecustomize`` before everything else."""
