"""The engine's peers: an environment that is thrown away, and the process that runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np

from simulation import engine

PEERS = ("rebound==5.2.2", "pytreegrav==1.5.0", "fmm3dpy==2.1.0", "setuptools<81")
HERE = Path(__file__).resolve().parent


class Peers:
    """The process of the other codes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        python = os.environ.get("AII_BENCH_PEERS") or str(self._install(folder / "venv"))
        self._process = subprocess.Popen(
            [python, str(HERE / "_peers.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "2", "NUMBA_CACHE_DIR": str(folder / "cache")},
        )

    @staticmethod
    def _install(home: Path) -> Path:
        print("Installing the peers ...", file=sys.stderr)
        venv.create(home, with_pip=True)
        python = home / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=True)
        return python

    def call(self, name: str, **options: Any) -> dict[str, Any]:
        """Ask for one thing and wait for it."""
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        pipe_in.write(json.dumps({"call": name, **options}) + "\n")
        pipe_in.flush()
        answer: dict[str, Any] = json.loads(pipe_out.readline())
        if "error_text" in answer:
            raise RuntimeError(f"{name}: {answer['error_text']}")
        return answer

    def load(self, bodies: engine.Bodies) -> None:
        """Give the bodies that the next calls are about."""
        path = self.folder / "bodies.npz"
        np.savez(path, x=bodies.position, v=bodies.velocity, m=bodies.mass)
        self.call("load", path=str(path))

    def force(self, name: str, **options: Any) -> tuple[float, np.ndarray]:
        """Return the seconds of an evaluation and its forces (N, 3)."""
        out = self.folder / "force.npy"
        answer = self.call(name, out=str(out), **options)
        return answer["seconds"], np.load(out)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
