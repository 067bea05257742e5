"""Comparisons as tables of at most 100 columns, for a terminal."""

from __future__ import annotations

import json
import textwrap

from pipeline.artefacts.results import QUANTITIES, UNEVEN, Compared, Comparison, PairedRow, flags_of
from pipeline.report.formats import percent, probability, say_repetitions, with_half_width

WIDTH = 100

_KIND = {"grid": "other grid", "protocol": "not paired", "treatment": "compared"}  # what a difference means


def comparison_table(comparison: Comparison) -> str:
    """Return mean E_in, E_out and gap by budget and mode, then the paired differences."""
    uneven = comparison["unevenness"] >= UNEVEN
    counted = "draws and test images" if comparison["encoders"] == 1 else "draws, test images and encoders"
    heading = "balanced E_out" if uneven else "one cell's E_out, 95 %"
    lines = [
        f"{comparison['dataset']}, {comparison['pretraining']}: error in %, mean over {say_repetitions(comparison)}",
        f"± half of the 95 % interval, which counts {counted}",
        "",
        f"{'labels':>6}  {'mode':<14} {'E_in':>14} {'E_out':>14} {'gap':>14}   {heading}",
    ]
    previous = None
    for row in comparison["summary"]:
        if previous not in (None, row["labels"]):
            lines.append("")
        previous = row["labels"]
        numbers = " ".join(f"{with_half_width(each):>14}" for each in (row["e_in"], row["e_out"], row["gap"]))
        mark = "!" if flags_of(comparison, row["labels"], row["mode"]) else " "
        low, high = row["one_run"]["clopper_pearson"]
        last = with_half_width(row["balanced"]) if uneven else f"{percent(low)} to {percent(high)}"
        lines.append(f"{row['labels']:>6}{mark} {row['mode']:<14} {numbers}   {last}")
    if uneven:
        lines += [
            "",
            "balanced: every class counts the same, as the largest has "
            f"{comparison['unevenness']:.1f} times as many test",
            "images as the smallest",
        ]
    if comparison["paired"]:
        lines += [
            "",
            "paired differences over the same draws, in percentage points (p: sign flips of draws), and the",
            f"probability that the one with fewer errors is better by more than {100 * comparison['margin']:g} points",
            "",
        ]
    for pair in comparison["paired"]:
        label = f"{QUANTITIES[pair['quantity']]:<5} {pair['first']} - {pair['second']}"
        line = f"{pair['labels']:>6}  {label:<35} {with_half_width(pair['difference']):>14}   p = {pair['p_value']:.4f}"
        lines.append(f"{line}   {_better(pair)}".rstrip())
    return "\n".join([_cut(lines + _bought(comparison)), *_warnings(comparison)])


def _bought(comparison: Comparison) -> list[str]:
    """Say how much images without labels and the invariances bought, where an ablation tells them apart."""
    lines = []
    for budget in comparison["bought"]:
        if budget["plain"]:
            lines += ["", f"what bought how many points of E_out with {budget['labels']} labels", ""]
            lines += [f"        {row['what']:<50} {with_half_width(row['gain']):>14}" for row in budget["gains"]]
    return lines


def _warnings(comparison: Comparison) -> list[str]:
    """Say why the results marked with "!" are not to be trusted, and which setting to change."""
    if not comparison["flags"]:
        return []
    lines = ["", "! not to be trusted as they stand:"]
    for flag in comparison["flags"]:
        start = f"{flag['labels']:>6}! {flag['kind']}: "
        lines.append(textwrap.fill(flag["text"], WIDTH, initial_indent=start, subsequent_indent=" " * 8))
    return lines


def _better(pair: PairedRow) -> str:
    """Name the mode with fewer errors on the test images, and how likely it is better by more than the margin."""
    first, second = pair["first_better"], pair["second_better"]
    if pair["quantity"] == "e_in" or first is None or second is None:
        return ""
    return f"{pair['first']} {probability(first)}" if first > second else f"{pair['second']} {probability(second)}"


def runs_table(compared: Compared) -> str:
    """Return what differs between experiments, then their errors side by side, then the paired differences."""
    lines = [f"{run['run']}  {run['folder']}: {run['dataset']}, {run['pretraining']}" for run in compared["runs"]]
    lines.append("")
    for difference in compared["differences"]:
        values = ", ".join(f"{json.dumps(value)} in {run}" for run, value in difference["values"].items())
        lines.append(f"{_KIND[difference['kind']]:<13} {difference['setting']}: {values}")
    if compared["differences"]:
        lines.append("")
    lines += ["error in %, mean over the draws ± half of the 95 % interval", ""]
    lines.append(f"{'labels':>6}  {'mode':<14} {'run':<3} {'draws':>5} {'E_in':>14} {'E_out':>14} {'gap':>14}")
    for row in sorted(compared["summary"], key=lambda row: (row["labels"], row["mode"], row["run"])):
        numbers = " ".join(f"{with_half_width(each):>14}" for each in (row["e_in"], row["e_out"], row["gap"]))
        lines.append(f"{row['labels']:>6}  {row['mode']:<14} {row['run']:<3} {row['draws']:>5} {numbers}")
    lines += [
        "",
        "paired differences over the same draws, in percentage points (p: sign flips); equal cells left out",
        "",
    ]
    for pair in compared["paired"]:
        label = f"{QUANTITIES[pair['quantity']]:<5} {pair['first']} - {pair['second']}"
        value = with_half_width(pair["difference"])
        lines.append(f"{pair['labels']:>6}  {pair['mode']:<14} {label} {value:>14}   p = {pair['p_value']:.4f}")
    if not compared["paired"]:
        lines.append("none: no two other cells agree in data, draws and protocol")
    return _cut(lines)


def _cut(lines: list[str]) -> str:
    """Return the lines as one text, each cut to the width of a table."""
    return "\n".join(line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in lines)
