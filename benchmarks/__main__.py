"""``python -m benchmarks`` is ``bench``; ``torchrun -m benchmarks run ...`` runs it in several processes."""

from benchmarks.cli.main import main

raise SystemExit(main())
