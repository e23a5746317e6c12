"""``python -m litevit_bench`` is ``bench``, for places where the command is not on the PATH."""

from litevit_bench.cli import main

raise SystemExit(main())
