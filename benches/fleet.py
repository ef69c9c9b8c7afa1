"""Spark's report on simulated fleets of growing size: `make bench-fleet`.

Each fleet is written by Ocellus' own code (`examples/fleet`), once with an hour a file and once with a day. A report is
timed in a session that has run one before, from listing the folders to the last row. Prints a Markdown table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packaging/spark"))
import fleet_report  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402


def make(program, folder, nodes, args, hours):
    command = [program, folder, "--nodes", nodes, "--days", args.days, "--hours-per-file", hours]
    output = subprocess.run([*map(str, command), "--drift-from", str(args.days * 2 // 3)], check=True, capture_output=True)
    return json.loads(output.stdout)


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*.parquet"))


def report(spark, store):
    """Seconds, and what was found."""
    spark.catalog.clearCache()
    start = time.monotonic()
    rows = fleet_report.report(fleet_report.read(spark, str(store))).collect()
    return time.monotonic() - start, rows


def check(rows, truth, nodes, days):
    """The figures are worth nothing where the report is wrong."""
    drifted = {(row.site, row.node, row.camera) for row in rows if row.drift is not None}
    planted = {(drift["site"], drift["node"], drift["camera"]) for drift in truth["drifts"]}
    assert drifted == planted, f"drift was found at {drifted ^ planted}"
    assert sum(row.detections for row in rows) == truth["detections"] and len(rows) == nodes * 4 * days
    return len(planted)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleet", required=True, help="the example `fleet`")
    parser.add_argument("--nodes", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--hours-per-file", type=int, nargs="+", default=[24, 1])
    args = parser.parse_args()
    builder = SparkSession.builder.master("local[2]").appName("ocellus-bench").config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    spark = builder.config("spark.driver.memory", "2g").config("spark.sql.shuffle.partitions", "8").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    print("| hours a file | nodes | files | MiB | rows of the report | cameras that drift, all found | s | against half as many |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        warm = Path(work) / "warm"
        make(args.fleet, warm, 2, args, 24)
        report(spark, warm)
        for hours in args.hours_per_file:
            before = None
            for nodes in args.nodes:
                folder = Path(work) / f"{hours}-{nodes}"
                truth = make(args.fleet, folder, nodes, args, hours)
                seconds, rows = report(spark, folder)
                found = check(rows, truth, nodes, args.days)
                growth = f"{seconds / before:.2f}" if before else ""
                mib = size(folder) / 2**20
                print(f"| {hours} | {nodes} | {truth['files']:,} | {mib:.0f} | {len(rows):,} | {found} | {seconds:.1f} | {growth} |")
                sys.stdout.flush()
                before = seconds
    spark.stop()


if __name__ == "__main__":
    main()
