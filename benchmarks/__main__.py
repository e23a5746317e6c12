"""``python -m benchmarks`` is ``bench``; ``torchrun -m benchmarks run ...`` runs it in several processes."""

from benchmarks.cli import main

raise SystemExit(main())
