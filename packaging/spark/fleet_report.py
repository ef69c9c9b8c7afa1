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


def total(bins):
    """All that a histogram counts."""
    return F.aggregate(bins, F.lit(0).cast("bigint"), lambda sum, count: sum + count)


def together(histograms):
    """One histogram of several."""
    none = F.array_repeat(F.lit(0).cast("bigint"), BINS)
    return F.aggregate(histograms, none, lambda sum, each: F.zip_with(sum, each, lambda a, b: a + b))


def psi(day, baseline, n, m):
    """Population stability index between two histograms of n and m observations.

    The sum of (p - q) ln(p / q) over the bins (Siddiqi, "Credit Risk Scorecards", 2006), that is, both directions of the
    Kullback-Leibler divergence. Half an observation is added to each bin, so that empty ones have a logarithm.
    """

    def of_bin(count, before):
        p, q = (count + 0.5) / (n + 0.5 * BINS), (before + 0.5) / (m + 0.5 * BINS)
        return (p - q) * F.log(p / q)

    return F.aggregate(F.zip_with(day, baseline, of_bin), F.lit(0.0), lambda sum, each: sum + each)


def chance(day, baseline, n, m):
    """What the index exceeds in one of 1,000 cases by chance, though nothing has changed.

    Without a change it is about (1/n + 1/m) times a chi-square with a degree of freedom less than there are bins in use
    (Yurdakul, "Statistical properties of population stability index", 2018); its quantile by Wilson and Hilferty (1931).
    """
    both = F.zip_with(day, baseline, lambda count, before: count + before)
    used = F.size(F.filter(both, lambda count: count > 0))
    k = F.greatest(used - 1, F.lit(1)).cast("double")
    quantile = k * F.pow(1 - 2 / (9 * k) + Z * F.sqrt(2 / (9 * k)), 3)
    return quantile * (1 / F.greatest(n, F.lit(1)) + 1 / F.greatest(m, F.lit(1)))


def report(hours, baseline_days=7, threshold=0.25):
    """A row for each camera and day.

    The scores of each label are compared with those of the first `baseline_days` days on which the camera's model, by
    digest, saw the label: a new model begins anew. `drift` is the label whose index is highest, if that is at least
    `threshold` and more than chance.
    """
    series = [*CAMERA, "model_digest", "label"]
    # Histograms stay arrays: a column for each bin makes expressions that Spark cannot compile, and a window for each.
    bins = [F.coalesce(F.sum(F.col("scores")[i]), F.lit(0)) for i in range(BINS)]
    daily = hours.groupBy(*series, "dt").agg(*[F.sum(name).alias(name) for name in SUMS], F.array(*bins).alias("day"))
    # Only days on which the label was seen count.
    daily = daily.withColumn("seen", F.coalesce(F.col("detections"), F.lit(0)) > 0)
    whole = Window.partitionBy(*series, "seen")
    daily = daily.withColumn("number", F.row_number().over(whole.orderBy("dt")))
    early = F.col("number") <= baseline_days
    daily = daily.withColumn("first", F.collect_list(F.when(early, F.col("day"))).over(whole))
    daily = daily.withColumn("baseline", together(F.col("first")))
    daily = daily.withColumn("n", total(F.col("day"))).withColumn("m", total(F.col("baseline")))
    compared = [F.col(name) for name in ("day", "baseline", "n", "m")]
    later = F.col("seen") & ~early
    daily = daily.withColumn("psi", F.when(later, psi(*compared)))
    daily = daily.withColumn("chance", F.when(later, chance(*compared)))
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
