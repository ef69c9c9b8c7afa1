"""What each sample model costs before it runs, as `ocellus model inspect --verbose --json` tells it."""

import argparse
import json
import pathlib
import subprocess


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--models", type=pathlib.Path, help="folder of sample models; else the shipped one alone")
    args = parser.parse_args()
    found = [pathlib.Path(__file__).parent.parent / "models/conveyor"]
    found += sorted(args.models.glob("*.onnx")) if args.models else []
    mib = lambda n: f"{n / 2**20:.1f}"
    print("| model | GMACs | GFLOPs | parameters, M | nodes | simplified | weights, MiB | values, MiB | workspace up to, MiB |")
    print("|" + "---|" * 9)
    for model in found:
        command = [args.ocellus, "model", "inspect", "--json", "--verbose", str(model)]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        cost, memory = report["cost"], report["cost"]["memory"]
        cells = [model.stem, f"{cost['work']['macs'] / 1e9:.3f}", f"{cost['work']['flops'] / 1e9:.3f}"]
        cells += [f"{report['parameters'] / 1e6:.2f}"]
        cells += [str(sum(cost["file_operators"].values())), str(sum(cost["operators"].values()))]
        cells += [mib(memory["weights"]), mib(memory["activations"]), mib(memory["workspace"])]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
