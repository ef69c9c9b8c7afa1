"""Reads insights with Spark and runs the fleet report on a simulated fleet, all in one session; prints JSON."""

import argparse
import glob
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packaging/spark"))
import fleet_report  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402


def rows(frame):
    return [json.loads(row) for row in frame.toJSON().collect()]


def metadata(spark, file):
    """What a file's footer says beside the schema, by Parquet's own library."""
    jvm, conf = spark._jvm, spark._jsc.hadoopConfiguration()
    source = jvm.org.apache.parquet.hadoop.util.HadoopInputFile.fromPath(jvm.org.apache.hadoop.fs.Path(file), conf)
    reader = jvm.org.apache.parquet.hadoop.ParquetFileReader.open(source)
    try:
        return dict(reader.getFileMetaData().getKeyValueMetaData())
    finally:
        reader.close()


def table(spark, store, name):
    """A table as Spark finds it, with nobody telling it what is in it."""
    files = sorted(glob.glob(f"{store}/{name}/*/*/*.parquet"))
    if not files:
        return {"files": 0}
    frame = spark.read.parquet(f"{store}/{name}")
    schema = [[field.name, field.dataType.simpleString()] for field in frame.schema.fields]
    return {"files": len(files), "schema": schema, "said": metadata(spark, files[0]), "rows": rows(frame)}


def report(spark, store):
    found = fleet_report.report(fleet_report.read(spark, store)).cache()
    drifts = found.where("drift IS NOT NULL").groupBy("site", "node", "camera")
    drifts = drifts.agg(F.min("day").cast("string").alias("day"), F.count("*").alias("days"))
    sums = found.agg(
        F.count("*").alias("rows"),
        F.sum("frames").alias("frames"),
        F.sum("detections").alias("detections"),
        F.max("psi").alias("psi"),
        F.min("uncertain_share").alias("least_uncertain"),
        F.max("uncertain_share").alias("most_uncertain"),
        F.min("ok_share").alias("ok_share"),
    )
    return {"drifts": rows(drifts), **rows(sums)[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", required=True, help="a store that a daemon has written to")
    parser.add_argument("--fleets", nargs="+", required=True, help="stores of simulated fleets")
    args = parser.parse_args()
    builder = SparkSession.builder.master("local[2]").appName("ocellus-test")
    builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false").config("spark.sql.shuffle.partitions", "4")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    spark = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    found = {name: table(spark, args.daemon, name) for name in ("insights", "events")}
    found["fleets"] = [report(spark, store) for store in args.fleets]
    print(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    main()
