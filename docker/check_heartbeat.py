"""A container's health: its process said within the last ten seconds that it is there."""

import json
import os
import socket
import sys
import time
from pathlib import Path

import redis

NODE = f"{os.environ['AII_PROCESS']}@{socket.gethostname()}"
LATE_S = 10.0

FILE = os.environ.get("REDIS_URL_FILE")
URL = Path(FILE).read_text().strip() if FILE else os.environ["REDIS_URL"]
with redis.Redis.from_url(URL, socket_timeout=3) as client:
    line = client.hget("aii:nodes", NODE)
if line is None:
    sys.exit(f"{NODE} has never reported itself")
age_s = time.time() - json.loads(line)["t"] / 1000
if age_s > LATE_S:
    sys.exit(f"{NODE} was last heard of {age_s:.0f} s ago")
