"""The questions of the labs, answered in words from the medians and spreads of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.experiments.drawing import Series, limits, series_of
from pipeline.experiments.grid import MEMORY, WORKERS, Setting, name_of, words_of, written
from pipeline.experiments.record import Answer, Experiment, Point, Spread
from pipeline.experiments.statistics import any_passed, overlapping, rest
from pipeline.reporting.words import megabytes, seconds

BUSY_PERCENT = 20.0
"""A machine that is this busy before a run does something else beside it."""
MOST_NAMED = 4
UNKNOWN = "No run was measured, so there is no answer."


def with_answers(experiment: Experiment) -> Experiment:
    return experiment.model_copy(update={"answers": tuple(answers(experiment))})


def answers(experiment: Experiment) -> Iterator[Answer]:
    """As many as the figures allow; what was not varied is said, not guessed."""
    if experiment.fastest is None:
        yield Answer(question="What came of it?", answer=UNKNOWN)
        return
    axis = name_of(experiment.axis) if experiment.axis else "setting"
    many = experiment.axis in experiment.parallel
    best = f"How many {axis} are best?" if many else "Which setting is the fastest?"
    yield Answer(question=best, answer=fastest(experiment, experiment.fastest))
    if experiment.axis in experiment.varied:
        question = f"How does the completion time change with {axis}?"
        yield Answer(question=question, answer=joined(experiment, change_of_time))
    parts: list[tuple[str, str]] = [
        ("What share is execution, and what communication?", split(experiment)),
        ("How much memory does each function use?", memory(experiment)),
        ("How do memory and CPU settings change the time?", effect_of_memory(experiment)),
        ("How busy are the processors?", processors(experiment)),
        ("Which setting is the cheapest?", cheapest(experiment)),
        ("What is to be kept in mind?", caveats(experiment)),
    ]
    yield from (Answer(question=question, answer=answer) for question, answer in parts if answer)


def named(experiment: Experiment, setting: Setting) -> str:
    return words_of(setting, experiment.varied or None)


def ranged(spread: Spread, form: Callable[[float | None], str]) -> str:
    """`12.3 s (11.9 s to 12.8 s in 3 runs)`."""
    if spread.runs == 1:
        return f"{form(spread.median)} (one run)"
    return f"{form(spread.median)} ({form(spread.least)} to {form(spread.most)} in {spread.runs} runs)"


def point_at(experiment: Experiment, setting: Setting) -> Point:
    return next(one for one in experiment.points if one.setting == setting)


def fastest(experiment: Experiment, setting: Setting) -> str:
    best = point_at(experiment, setting).figures["seconds"]
    text = f"The fastest setting was {named(experiment, setting)}: {ranged(best, seconds)}."
    alike = overlapping(experiment, "seconds", setting)
    return f"{text} {alike_words(experiment, alike)}".rstrip()


def alike_words(experiment: Experiment, alike: list[Point]) -> str:
    if not alike or any(one.compared == 1 for one in experiment.points):
        return ""
    names = "; ".join(named(experiment, one.setting) for one in alike[:MOST_NAMED])
    more = f"; and {len(alike) - MOST_NAMED} more" if len(alike) > MOST_NAMED else ""
    return f"These runs do not tell it apart from {names}{more}: their times overlap."


def joined(experiment: Experiment, of: Callable[[Experiment, Series], str]) -> str:
    parts = [(one.label, of(experiment, one)) for one in series_of(experiment)]
    said = [f"With {label}: {text}" if label else text[:1].upper() + text[1:] for label, text in parts if text]
    return " ".join(said)


def change_of_time(experiment: Experiment, series: Series) -> str:
    """From the first point of a series to its last, and the best where that is neither."""
    timed = [one for one in series.points if "seconds" in one.figures]
    if len(timed) < 2:
        return ""
    first, last = timed[0], timed[-1]
    best = min(timed, key=lambda one: one.figures["seconds"].median)
    text = f"{time_at(experiment, first)}, {time_at(experiment, last)}{speed_of(last)}."
    return text if best in (first, last) else f"{text} The least: {time_at(experiment, best)}{speed_of(best)}."


def time_at(experiment: Experiment, point: Point) -> str:
    return f"{seconds(point.figures['seconds'].median)} with {words_of(point.setting, [experiment.axis])}"


def speed_of(point: Point) -> str:
    if point.speed_up is None:
        return ""
    wide = "" if point.speed_up.runs == 1 else f" ({point.speed_up.least:.2f} to {point.speed_up.most:.2f})"
    efficiency = "" if point.efficiency is None else f", efficiency {100 * point.efficiency:.0f} %"
    return f", a speed-up of {point.speed_up.median:.2f}{wide}{efficiency}"


def split(experiment: Experiment) -> str:
    known = [one for one in experiment.points if "communication_percent" in one.figures]
    if not known:
        return "It was not measured: nothing of this job went through the store."
    sources = {one.figures.split_source for one in experiment.runs} - {""}
    how = "as the functions' own code reports" if sources == {"reported"} else "measured from outside"
    shares = [(named(experiment, one.setting), one.figures["communication_percent"].median) for one in known]
    least, most = min(shares, key=lambda one: one[1]), max(shares, key=lambda one: one[1])
    if f"{least[1]:.0f}" == f"{most[1]:.0f}":
        return f"Communication was {most[1]:.0f} % of the functions' time, {how}."
    return (
        f"Communication was between {least[1]:.0f} % of the functions' time ({least[0]}) and {most[1]:.0f} % "
        f"({most[0]}), {how}."
    )


def memory(experiment: Experiment) -> str:
    peaks = [(one, one.figures["peak_memory_mb"]) for one in experiment.points if "peak_memory_mb" in one.figures]
    if not peaks:
        return "It was not measured."
    least, most = min(one.least for _, one in peaks), max(one.most for _, one in peaks)
    usual = [one.figures["usual_memory_mb"].median for one, _ in peaks if "usual_memory_mb" in one.figures]
    limited = limits(experiment)
    text = f"The largest function of a run peaked at {megabytes(least)}" + (
        f" to {megabytes(most)}" if round(least) != round(most) else ""
    )
    middle = f"; half of the functions needed no more than {megabytes(max(usual))}" if usual else ""
    share = f" That is {100 * most / limited[0]:.0f} % of a limit of {limited[0]} MB." if limited else ""
    return f"{text}{middle}.{share}"


def effect_of_memory(experiment: Experiment) -> str:
    if MEMORY not in experiment.varied:
        limited = ", ".join(f"{one} MB" for one in limits(experiment))
        had = f": each function had {limited}" if limited else ""
        return f"The memory limit was not varied{had}. {experiment.cpu_effect}"
    changes = [text for one in experiment.points if (text := with_more_memory(experiment, one))]
    return " ".join([*changes[:MOST_NAMED], experiment.cpu_effect])


def with_more_memory(experiment: Experiment, point: Point) -> str:
    """From the least limit to the greatest, all else equal."""
    values = experiment.values(MEMORY)
    if point.setting[MEMORY] != values[0] or "seconds" not in point.figures:
        return ""
    alike = [one for one in experiment.points if rest(one.setting, MEMORY) == rest(point.setting, MEMORY)]
    other = next((one for one in reversed(alike) if one is not point and "seconds" in one.figures), None)
    if other is None:
        return ""
    before, after = point.figures["seconds"], other.figures["seconds"]
    apart = after.most < before.least or before.most < after.least
    where = words_of(rest(point.setting, MEMORY), [one for one in experiment.varied if one != MEMORY])
    change = 100 * (after.median / before.median - 1)
    return (
        f"{f'With {where}, from' if len(experiment.varied) > 1 else 'From'} {written(values[0])} to "
        f"{written(other.setting[MEMORY])} MB the time changed by {change:+.0f} %"
        f"{'' if apart else ', which is within the spread'}."
    )


def processors(experiment: Experiment) -> str:
    known = [one for one in experiment.points if "host_cpu_percent" in one.figures]
    if not known:
        return ""
    number = experiment.machine.processors
    first, last = known[0], max(known, key=lambda one: one.figures["host_cpu_percent"].median)
    text = f"The machine has {number} processor{'s' if number > 1 else ''}; "
    busy = {id(one): f"{one.figures['host_cpu_percent'].median:.0f} %" for one in (first, last)}
    if first is last:
        return f"{text}they were at most {busy[id(last)]} busy ({named(experiment, last.setting)})."
    full = last.figures["host_cpu_percent"].median > 90
    ending = " A full machine is no faster with more functions." if full else ""
    return (
        f"{text}they were {busy[id(first)]} busy with {named(experiment, first.setting)} and {busy[id(last)]} "
        f"with {named(experiment, last.setting)}.{ending}"
    )


def cheapest(experiment: Experiment) -> str:
    setting = experiment.cheapest
    if setting is None:
        return "The cost is not known: the functions' times were not recorded."
    point = point_at(experiment, setting)
    text = f"{named(experiment, setting)}: {ranged(point.figures['gb_seconds'], gb_seconds)}."
    best = point_at(experiment, experiment.fastest or setting)
    if setting != best.setting and {"gb_seconds", "seconds"} <= best.figures.keys():
        cost = 100 * (best.figures["gb_seconds"].median / point.figures["gb_seconds"].median - 1)
        time = point.figures["seconds"].median / best.figures["seconds"].median
        text += f" The fastest setting costs {cost:.0f} % more; the cheapest takes {time:.2f} times as long."
    return text[:1].upper() + text[1:]


def gb_seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} GB-s"


def caveats(experiment: Experiment) -> str:
    """What would mislead a reader: runs that failed or missed their points, other load, single runs."""
    runs = [one for one in experiment.runs if one.status != "planned"]
    failed = [one for one in runs if one.status == "failed"]
    missed = [one for one in runs if one.status == "measured" and one.outcome != "passed"]
    busy = [one for one in runs if (one.load.before_percent or 0.0) > BUSY_PERCENT]
    said = []
    if failed:
        causes = ", ".join(dict.fromkeys(one.failed_for for one in failed))
        said.append(f"{len(failed)} of {len(runs)} runs failed ({causes}) and are not compared.")
    if missed and any_passed(runs):
        said.append(f"{len(missed)} more ran to their end without passing the checks, and are not compared either.")
    elif missed:
        said.append("No run passed the assignment's checks: these are the times of work that is not done well enough.")
    if busy:
        most = max(one.load.before_percent or 0.0 for one in busy)
        said.append(
            f"Before {len(busy)} of {len(runs)} runs something else used more than {BUSY_PERCENT:.0f} % of the machine "
            f"({most:.0f} % at most), which slows runs down: repeat them on a quiet one."
        )
    if WORKERS in experiment.varied and WORKERS not in experiment.parallel:
        said.append("Workers decide nothing here, where one function runs at a time: what differs with them is chance.")
    if experiment.left:
        said.append(f"{len(experiment.left)} runs are still to be made.")
    if any(one.compared == 1 for one in experiment.points):
        said.append("A setting that was run once has no spread: repeat it before you conclude anything.")
    return " ".join(said)
