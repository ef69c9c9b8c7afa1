"""Reports on a fleet of Ocellus nodes from their insights: what each camera saw each day, and where it drifts.

    spark-submit fleet_report.py --store abfss://fleet@account.dfs.core.windows.net/insights --out abfss://…/report

For Spark 3.3 and later: HDInsight, Synapse, Databricks, or `pip install pyspark`. `--store` is what `store` under
`[insights]` names, by the address that Spark knows it by. A row is a camera on a day, UTC. README.md explains the columns.
"""

import argparse
import sys

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

BINS = 20
# The columns that the report needs, of docs/reference/insights.md; `dt` and `site` are in the folders' names.
SCHEMA = (
    "node STRING, camera STRING, model_digest STRING, label STRING, frames BIGINT, dropped BIGINT, uncertain BIGINT, "
    "detections BIGINT, score_sum DOUBLE, scores ARRAY<BIGINT>, ok_s DOUBLE, connecting_s DOUBLE, frozen_s DOUBLE, "
    "blind_s DOUBLE, off_s DOUBLE, dt DATE, site STRING"
)
CAMERA = ["site", "node", "camera"]
STATES = ["ok_s", "connecting_s", "frozen_s", "blind_s", "off_s"]
SUMS = ["frames", "dropped", "uncertain", "detections", "score_sum", *STATES]
# Quantile of the standard normal distribution at 0.999.
Z = 3.0902


def read(spark, store, since=None, until=None):
    """The sums by the hour of those days."""
    # A node writes small files: as many as fit are read by one task, and folders are listed by few.
    spark.conf.set("spark.sql.files.openCostInBytes", str(64 * 1024))
    spark.conf.set("spark.sql.sources.parallelPartitionDiscovery.parallelism", "64")
    hours = spark.read.schema(SCHEMA).parquet(store.rstrip("/") + "/insights")
    if since:
        hours = hours.where(F.col("dt") >= F.lit(since).cast("date"))
    if until:
        hours = hours.where(F.col("dt") <= F.lit(until).cast("date"))
    return hours


def share(part, whole):
    """A quotient, or nothing where there is nothing to divide by."""
    return F.when(F.col(whole) > 0, F.col(part) / F.col(whole))


def psi(day, baseline):
    """Population stability index between two histograms, given as lists of columns.

    The sum of (p - q) ln(p / q) over the bins (Siddiqi, "Credit Risk Scorecards", 2006), that is, both directions of the
    Kullback-Leibler divergence. Half an observation is added to each bin, so that empty ones have a logarithm.
    """
    total = [sum(counts[1:], counts[0]) + 0.5 * BINS for counts in (day, baseline)]
    index = F.lit(0.0)
    for count, before in zip(day, baseline):
        p, q = (count + 0.5) / total[0], (before + 0.5) / total[1]
        index = index + (p - q) * F.log(p / q)
    return index


def chance(day, baseline):
    """What the index exceeds in one of 1,000 cases by chance, though nothing has changed.

    Without a change it is about (1/n + 1/m) times a chi-square with a degree of freedom less than there are bins in use
    (Yurdakul, "Statistical properties of population stability index", 2018); its quantile by Wilson and Hilferty (1931).
    """
    used = F.lit(0.0)
    for count, before in zip(day, baseline):
        used = used + F.when(count + before > 0, 1.0).otherwise(0.0)
    k = F.greatest(used - 1, F.lit(1.0))
    quantile = k * F.pow(1 - 2 / (9 * k) + Z * F.sqrt(2 / (9 * k)), 3)
    n, m = (F.greatest(sum(counts[1:], counts[0]).cast("double"), F.lit(1.0)) for counts in (day, baseline))
    return quantile * (1 / n + 1 / m)


def report(hours, baseline_days=7, threshold=0.25):
    """A row for each camera and day.

    The scores of each label are compared with those of the first `baseline_days` days on which the camera's model, by
    digest, saw the label: a new model begins anew. `drift` is the label whose index is highest, if that is at least
    `threshold` and more than chance.
    """
    bins = [f"s{i}" for i in range(BINS)]
    series = [*CAMERA, "model_digest", "label"]
    counts = [F.sum(F.col("scores")[i]).alias(name) for i, name in enumerate(bins)]
    daily = hours.groupBy(*series, "dt").agg(*[F.sum(name).alias(name) for name in SUMS], *counts)
    # Only days on which the label was seen count.
    seen = F.coalesce(F.col("detections"), F.lit(0)) > 0
    days = Window.partitionBy(*series, "seen").orderBy("dt")
    whole = Window.partitionBy(*series, "seen")
    daily = daily.withColumn("seen", seen).withColumn("number", F.row_number().over(days))
    early = F.col("number") <= baseline_days
    for name in bins:
        before = F.sum(F.when(early, F.col(name))).over(whole)
        daily = daily.withColumn(name, F.coalesce(F.col(name), F.lit(0))).withColumn("b" + name, F.coalesce(before, F.lit(0)))
    day, baseline = [[F.col(prefix + name) for name in bins] for prefix in ("", "b")]
    later = F.col("seen") & ~early
    daily = daily.withColumn("psi", F.when(later, psi(day, baseline)))
    daily = daily.withColumn("chance", F.when(later, chance(day, baseline)))
    shifted = (F.col("psi") >= threshold) & (F.col("psi") > F.col("chance"))
    daily = daily.withColumn("shift", F.when(shifted, F.col("psi")))
    cameras = daily.groupBy(*CAMERA, "dt").agg(
        *[F.sum(name).alias(name) for name in SUMS],
        F.max("psi").alias("psi"),
        F.expr("max_by(coalesce(label, '(hidden)'), shift)").alias("drift"),
    )
    watched = sum((F.coalesce(F.col(name), F.lit(0.0)) for name in STATES), F.lit(0.0))
    cameras = cameras.withColumn("watched_s", watched)
    return cameras.select(
        *CAMERA,
        F.col("dt").alias("day"),
        "frames",
        "dropped",
        "detections",
        share("detections", "frames").alias("detections_per_frame"),
        share("uncertain", "frames").alias("uncertain_share"),
        share("score_sum", "detections").alias("mean_score"),
        share("ok_s", "watched_s").alias("ok_share"),
        "psi",
        "drift",
    )


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", required=True, help="what `store` under [insights] names")
    parser.add_argument("--out", help="folder for the report; it is shown otherwise")
    parser.add_argument("--format", choices=["csv", "json", "parquet"], default="csv")
    parser.add_argument("--from", dest="since", metavar="YYYY-MM-DD", help="first day, the baseline's included")
    parser.add_argument("--until", metavar="YYYY-MM-DD", help="last day")
    parser.add_argument("--baseline-days", type=int, default=7, metavar="N")
    parser.add_argument("--threshold", type=float, default=0.25, metavar="PSI")
    return parser.parse_args()


def main():
    args = arguments()
    spark = SparkSession.builder.appName("ocellus-fleet-report").getOrCreate()
    hours = read(spark, args.store, args.since, args.until)
    rows = report(hours, args.baseline_days, args.threshold).orderBy("site", "node", "camera", "day")
    if args.out:
        writer = rows.coalesce(1).write.mode("overwrite").format(args.format)
        (writer.option("header", True) if args.format == "csv" else writer).save(args.out)
        return
    drifting = rows.where("drift IS NOT NULL").groupBy("site", "node", "camera", "drift")
    drifting = drifting.agg(F.min("day").alias("since"), F.count("*").alias("days"), F.max("psi").alias("psi"))
    print("Cameras whose scores have drifted:")
    drifting.orderBy("site", "node", "camera").show(1000, truncate=False)
    rows.show(1000, truncate=False)


if __name__ == "__main__":
    sys.exit(main())
