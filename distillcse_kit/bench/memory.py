"""Peak memory of a task, measured in a process that does nothing else.

python -m distillcse_kit.bench.memory TASK CORPUS
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from distillcse_kit.bench.workshop import QUICK, Extent, Workshop

TASKS: dict[str, Callable[[Workshop], object]] = {
    "simcse step": lambda shop: shop.steps(shop.trainer())(),
    "student step, 16 stored teachers": lambda shop: shop.steps(shop.trainer(16))(),
    "student step, 16 teachers run": lambda shop: shop.plain_steps(16)(),
    "encode": lambda shop: shop.encoder.encode(shop.corpus.sentences, show_progress_bar=False),
}


def peak_of_process(task: str, corpus: str, batch_size: int = 64, teachers: int = 1) -> float:
    """Peak resident memory, in MB, of a process that does one of ``TASKS``, or "student step" with these sizes.

    A corpus file is read whole; the built-in corpus as far as the quick bench reads it.
    """
    command = [sys.executable, "-m", "distillcse_kit.bench.memory", task, corpus, str(batch_size), str(teachers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def do(task: str, corpus: str, batch_size: int = 64, teachers: int = 1) -> None:
    """Do the task in this process."""
    extent = QUICK if corpus == "builtin" else Extent(1, 1, None)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shop = Workshop(Path(folder), extent, corpus, batch_size=batch_size)
        if task == "student step":
            shop.steps(shop.trainer(teachers))()
        else:
            TASKS[task](shop)


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the parent held when it forked
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="utf-8"))
        return round(int(found[1]) / 1e3, 1)  # type: ignore[index]
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 1e6, 1)
    import resource  # Windows has no such module

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (1e6 if sys.platform == "darwin" else 1e3), 1)


if __name__ == "__main__":
    do(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
    print(peak())
