"""Spark's report on simulated fleets of growing size: `make bench-fleet`.

Each fleet is written by Ocellus' own code (`examples/fleet`), once with a day a file and once with an hour, growing by
nodes and by days. A report is timed in a session that has run one before, from listing the folders to the last row, by the
clock and by the processor time of Spark's process, of which the second is fit for a machine that has other work. What is
found is compared with what was planted. Prints a Markdown table.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packaging/spark"))
import fleet_report  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

COLUMNS = [
    "hours a file", "nodes", "days", "files", "rows", "MiB", "written in s", "report's rows", "cameras that drift, found",
    "report in s", "of processors, s", "per doubling",
]  # fmt: skip


def make(program, folder, nodes, days, hours):
    """What is true of the fleet, and the seconds that it took to write."""
    command = [program, folder, "--nodes", nodes, "--days", days, "--hours-per-file", hours, "--drift-from", days * 2 // 3]
    start = time.monotonic()
    output = subprocess.run([*map(str, command)], check=True, capture_output=True)
    return json.loads(output.stdout), time.monotonic() - start


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*.parquet"))


def worked(spark):
    """Seconds that Spark's process has had of all processors."""
    pid = spark._jvm.java.lang.ProcessHandle.current().pid()
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(spark, store):
    """Seconds by the clock, seconds of processors, and what was found."""
    spark.catalog.clearCache()
    start, before = time.monotonic(), worked(spark)
    rows = fleet_report.report(fleet_report.read(spark, str(store))).collect()
    return time.monotonic() - start, worked(spark) - before, rows


def check(rows, truth, nodes, days):
    """The figures are worth nothing where the report is wrong: each drift is to be found from its first day on, no other."""
    drifted = sorted((row.site, row.node, row.camera, str(row.day)) for row in rows if row.drift is not None)
    last = str(max(row.day for row in rows))
    planted, first = [], {}
    for drift in truth["drifts"]:
        first[drift["site"], drift["node"], drift["camera"]] = drift["day"]
    for row in rows:
        since = first.get((row.site, row.node, row.camera))
        if since is not None and since <= str(row.day) <= last:
            planted.append((row.site, row.node, row.camera, str(row.day)))
    odd = set(drifted) ^ set(planted)
    assert not odd, f"drift was found or missed at {sorted(odd)[:10]}"
    for name in ("frames", "detections"):
        assert sum(row[name] or 0 for row in rows) == truth[name], name
    assert len(rows) == nodes * 4 * days
    return len(first)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleet", required=True, help="the example `fleet`")
    parser.add_argument("--sizes", nargs="+", default=["12x30", "25x30", "50x30", "100x30", "100x15"], help="nodes x days")
    parser.add_argument("--hours-per-file", type=int, nargs="+", default=[24, 1])
    args = parser.parse_args()
    builder = SparkSession.builder.master("local[2]").appName("ocellus-bench").config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    spark = builder.config("spark.driver.memory", "2g").config("spark.sql.shuffle.partitions", "8").getOrCreate()
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" * len(COLUMNS) + "|")
    with tempfile.TemporaryDirectory() as work:
        warm = Path(work) / "warm"
        make(args.fleet, warm, 2, 15, 24)
        for _ in range(2):
            report(spark, warm)
        for hours in args.hours_per_file:
            before = None
            for nodes, days in (map(int, text.split("x")) for text in args.sizes):
                folder = Path(work) / f"{hours}-{nodes}-{days}"
                truth, written = make(args.fleet, folder, nodes, days, hours)
                seconds, worked_s, rows = report(spark, folder)
                found = check(rows, truth, nodes, days)
                growth = ""
                if before:
                    doublings = math.log2(nodes * days / before[0])
                    growth = f"{(worked_s / before[1]) ** (1 / doublings):.2f}"
                values = [
                    f"{hours}", f"{nodes}", f"{days}", f"{truth['files']:,}", f"{truth['rows']:,}", f"{size(folder) / 2**20:.0f}",
                    f"{written:.1f}", f"{len(rows):,}", f"{found}", f"{seconds:.1f}", f"{worked_s:.1f}", growth,
                ]  # fmt: skip
                print("| " + " | ".join(values) + " |", flush=True)
                before = (nodes * days, worked_s)
    spark.stop()


if __name__ == "__main__":
    main()
