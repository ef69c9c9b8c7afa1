"""How the daemon grows with its cameras: 1 to 64 simulated ones, each with its own picture.

For each number of cameras: cores busy and memory, in all and per camera, and the delay from capture to the subscriber.
What a long run does to it is told by `soak.py`.
"""

import argparse

import daemon


def row(args, cameras):
    measured = daemon.measure(args, cameras)
    cpu = measured["cpu_of_daemon"] + measured["cpu_of_decoders"]
    memory = measured["daemon_mib"] + measured["decoders_mib"]
    return {
        "cameras": f"{cameras}",
        "scored a second": f"{measured['scored_per_second']:.0f}",
        "cores": f"{cpu:.3f}",
        "cores a camera": f"{cpu / cameras:.4f}",
        "MiB": f"{memory:.0f}",
        "MiB a camera": f"{memory / cameras:.1f}",
        "delay ms p50": f"{measured['delay_ms_p50']:.1f}",
        "delay ms p99": f"{measured['delay_ms_p99']:.1f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--profile")
    parser.add_argument("--source", default="sim:conveyor?seed={i}&fps=2&width=320&height=180")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    args = parser.parse_args()
    for n, cameras in enumerate(args.cameras):
        cells = row(args, cameras)
        if n == 0:
            print("| " + " | ".join(cells) + " |")
            print("|" + "---|" * len(cells))
        print("| " + " | ".join(cells.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
