"""python -m benchmarks.profile_step: where a step of the default pretraining spends its time, by PyTorch's profiler."""

from __future__ import annotations

import argparse

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.subjects import DEFAULT, new_model, training_images

STEPS, SHOWN = 50, 12


def main() -> None:
    """Train for some steps, and print the operations that take most of the time with their shares."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.profile_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    model, images = new_model(DEFAULT).to(memory_format=torch.channels_last), training_images()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def steps(count: int) -> None:
        for chunk in torch.split(torch.randperm(len(images))[: count * DEFAULT.batch_size], DEFAULT.batch_size):
            optimizer.zero_grad()
            model.training_step((images[chunk], None)).backward()
            optimizer.step()

    steps(10)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        steps(STEPS)
    rows = sorted(profiler.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    print(f"a step of {DEFAULT.batch_size} images: {total / STEPS / 1000:.1f} ms")
    for row in rows[:SHOWN]:
        print(f"  {100 * row.self_cpu_time_total / total:5.1f} %  {row.key}")


if __name__ == "__main__":
    main()
