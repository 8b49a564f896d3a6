"""Compare the memory and time that `glan finetune --plan` states with those of the run itself.

    python benchmarks/training_plan.py WORKSPACE SNAPSHOT BASE [--trials N]

Each trial plans and trains one of the configurations below with the command line, in processes of their own. Models are named
`trial-N`; remove them from the workspace before a second round.
"""

import argparse
import json
import subprocess
import sys

SMALL = ["--evaluations", "1"]
TRIALS = [
    ["--recipe", "demo", "--rows", "60", "--epochs", "2"],
    ["--recipe", "lora", "--rows", "24", "--epochs", "1"],
    ["--recipe", "demo", "--hidden", "256", "--layers", "4", "--inner", "768", "--epochs", "2"],
    ["--recipe", "lora", "--rows", "16", "--epochs", "1", "--gradient-checkpointing"],
    ["--recipe", "paper-scaled", "--rows", "16", "--epochs", "1", "--global-batch-size", "4", "--per-device-batch-size", "2",
     "--max-length", "512", *SMALL],
    ["--recipe", "lora", "--rows", "30", "--epochs", "1", "--per-device-batch-size", "1"],
    ["--recipe", "demo", "--vocabulary", "2048", "--global-batch-size", "8", "--per-device-batch-size", "8", "--epochs", "3"],
    ["--recipe", "lora", "--rows", "24", "--epochs", "1", "--lora-rank", "4", "--max-length", "256"],
    ["--recipe", "demo", "--hidden", "512", "--layers", "6", "--inner", "1536", "--heads", "8", "--rows", "40", "--epochs", "1"],
    ["--recipe", "lora", "--rows", "12", "--epochs", "2", "--per-device-batch-size", "4", *SMALL],
]  # fmt: skip
GLAN = """
import resource, sys
from glan_core.cli import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(1024 * used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)
sys.exit(code)
"""


def glan(words: list[str]) -> tuple[dict, float, float]:
    done = subprocess.run([sys.executable, "-c", GLAN, *words, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    peak, cpu = map(float, done.stderr.split()[-2:])
    return json.loads(done.stdout), peak, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace")
    parser.add_argument("snapshot")
    parser.add_argument("base")
    parser.add_argument("--trials", type=int, default=len(TRIALS))
    args = parser.parse_args()
    for nth, options in enumerate(TRIALS[: args.trials], start=1):
        base = [] if "demo" in options else ["--base", args.base]
        words = ["finetune", args.workspace, "--snapshot", args.snapshot, "--name", f"trial-{nth}", *options, *base]
        plan, *_ = glan([*words, "--plan"])
        run, peak, cpu = glan(words)
        seconds, (least, most) = run["finished_at"] - run["started_at"], plan["seconds"]
        planned = plan["memory"]["bytes"]
        print(
            f"{' '.join(options)}: time {least:.0f} to {most:.0f} s, took {seconds:.0f} s ({'in' if least <= seconds <= most else 'out'}), "
            f"CPU {cpu:.0f} s; memory {planned / 1e9:.2f} GB, peak {peak / 1e9:.2f} GB ({planned / peak - 1:+.0%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
