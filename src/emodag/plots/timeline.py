"""Who felt what, when: a conversation as a picture."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from emodag.conversation import telling
from emodag.conversation.telling import UNJUDGED
from emodag.labels import UNKNOWN
from emodag.plots.base import COLOURS, FAINT, INK, bare, figure_with_axes, literal, set_titles

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emodag.conversation.telling import Coarse
    from emodag.conversation.timeline import Speaker, Timeline, Turn

_WIDTH, _LEFT = 10.6, 1.9  # inches, of the time axis and of the labels beside it
_CHARACTER = 0.062  # inches, of small text

#: Turns are shown one by one as long as half of them are at least so wide; beyond, the time is cut into equal parts.
_NARROWEST = 0.055  # inches
_PART = 0.08  # inches
_POINTS = 360  # of a curve

#: Neutral is a colour like any other; not knowing and not judging are none.
_OPEN, _UNJUDGED, _TOGETHER = "#9aa1ab", "#c3c8d0", "#22262e"


def timeline_figure(timeline: Timeline) -> Figure:
    """A lane per speaker, coloured by emotion, over the speaker's arousal and valence.

    The weaker a colour, the less sure the model. Within long turns windows are shown, and below them the turn as a
    whole. A conversation with so many turns that they could not be told apart is cut into equal parts, each as high as
    the speaker spoke in it (the highest fills its lane) and coloured by how long each emotion was heard.
    """
    by_turn = _by_turn(timeline)
    length = telling.step(timeline.duration * _PART / _WIDTH)
    parts = {} if by_turn else {each.name: telling.coarse(timeline, each.name, length) for each in timeline.speakers}
    full = max((float(each.seconds.sum(axis=1).max()) for each in parts.values()), default=0.0)
    lane = _Lane(len(timeline.speakers), by_turn)
    figure, axes = figure_with_axes(_WIDTH, max(lane.height * len(timeline.speakers), 0.8), left=_LEFT)
    _axis(axes, timeline, lane)
    for number, speaker in enumerate(timeline.speakers):
        top = number * lane.height
        _name(axes, speaker, top + lane.flag + lane.box / 2)
        if by_turn:
            for turn in timeline.turns:
                if turn.speaker == speaker.name:
                    _turn(axes, turn, top + lane.flag, lane)
            _together(axes, timeline, speaker, top + lane.flag)
        else:
            _parts(axes, parts[speaker.name], timeline.duration, top + lane.flag, lane.box, full)
        _curves(axes, timeline, speaker, top + lane.flag + lane.box + lane.label, lane)
        _points(axes, timeline, speaker, top, lane)
    height = f"height: speech in each {telling.clock(length)}, {full / length:.0%} of it at most" if parts else ""
    _legend(figure, timeline, height)
    notes = [
        telling.shortened(timeline.recording, 60),
        f"{telling.clock(timeline.duration)}, {telling.counted(len(timeline.speakers), 'speaker').lower()}, "
        f"{telling.counted(len(timeline.turns), 'turn').lower()}",
        *telling.context(timeline),
    ]
    set_titles(figure, telling.finding(timeline), notes, leaky=False)
    return figure


class _Lane:
    """The parts of a speaker's lane from top to bottom; inches."""

    def __init__(self, speakers: int, by_turn: bool):
        many = speakers > 4
        self.flag = 0.2
        self.box = (0.26 if many else 0.36) if by_turn else (0.36 if many else 0.6)
        self.label = 0.05 if many or not by_turn else 0.2
        self.curve = 0.28 if many else 0.5
        self.height = self.flag + self.box + self.label + self.curve + (0.06 if many else 0.12)


def _by_turn(timeline: Timeline) -> bool:
    """Whether the turns are wide enough to be told apart."""
    if not timeline.turns:
        return True
    typical = np.median([turn.end - turn.start for turn in timeline.turns])
    return bool(typical * _WIDTH / timeline.duration >= _NARROWEST)


def _axis(axes: Axes, timeline: Timeline, lane: _Lane) -> None:
    """Time to the right in seconds, lanes downwards in inches."""
    bare(axes)
    axes.set_xlim(0, timeline.duration)
    axes.set_ylim(max(lane.height * len(timeline.speakers), 0.8), 0)
    axes.set_yticks([])
    step = telling.step(timeline.duration * 0.8 / _WIDTH)
    ticks = np.arange(0, timeline.duration + 1e-9, step)
    axes.set_xticks(ticks, [telling.clock(tick) for tick in ticks])
    axes.tick_params(length=0, colors=FAINT, labelsize=8.5)


def _name(axes: Axes, speaker: Speaker, middle: float) -> None:
    """Who speaks in the lane, how long, and what they mostly sound like."""
    place = {"transform": axes.get_yaxis_transform(), "ha": "right", "clip_on": False}
    name = literal(telling.shortened(speaker.name, 22))
    axes.text(-0.012, middle - 0.02, name, va="bottom", fontsize=10, fontweight="bold", color=INK, **place)
    told = f"{telling.clock(speaker.speech)} in {telling.counted(speaker.turns, 'turn').lower()}"
    most = sorted(((share, emotion) for emotion, share in speaker.shares.items() if share), reverse=True)[:2]
    lines = "\n".join([told, *([", ".join(f"{emotion} {share:.0%}" for share, emotion in most)] if most else [])])
    axes.text(-0.012, middle + 0.02, lines, va="top", fontsize=8, color=FAINT, linespacing=1.35, **place)


def _turn(axes: Axes, turn: Turn, top: float, lane: _Lane) -> None:
    """A turn as a box; with windows, these above a strip for the whole."""
    for span in turn.unjudged:
        _box(axes, span, (top + 0.4 * lane.box, 0.2 * lane.box), UNJUDGED)
    if turn.feeling is None:
        return
    strip = 0.22 * lane.box if turn.windows else 0.0
    for stretch in turn.stretches:
        span = stretch.start, stretch.end
        _box(axes, span, (top, lane.box - strip), stretch.emotion, telling.strength(stretch), edges=not turn.windows)
    if turn.windows:
        whole = telling.strength(turn.feeling)
        _box(axes, (turn.start, turn.end), (top + lane.box - strip, strip), turn.feeling.emotion, whole)
    wide = (turn.end - turn.start) * _WIDTH / axes.get_xlim()[1]
    if lane.label > 0.1 and wide > _CHARACTER * (len(turn.feeling.emotion) + 1):
        middle = (turn.start + turn.end) / 2
        axes.text(middle, top + lane.box + 0.04, turn.feeling.emotion, ha="center", va="top", fontsize=7.5, color=INK)


def _box(
    axes: Axes,
    span: tuple[float, float],
    place: tuple[float, float],
    emotion: str,
    alpha: float = 1.0,
    edges: bool = True,
) -> None:
    """A coloured stretch of time; what is unknown is hatched."""
    from matplotlib.patches import Rectangle

    start, end = span
    top, height = place
    look = {"facecolor": "white", "edgecolor": _OPEN, "hatch": "//////", "linewidth": 0.0}
    if emotion != UNKNOWN:
        colour = _UNJUDGED if emotion == UNJUDGED else COLOURS[emotion]
        look = {"facecolor": (colour, alpha), "edgecolor": "white", "linewidth": 0.6 if edges else 0.0}
    axes.add_patch(Rectangle((start, top), end - start, height, zorder=2, **look))


def _together(axes: Axes, timeline: Timeline, speaker: Speaker, top: float) -> None:
    """A line above the turns where somebody else speaks too."""
    for span in telling.overlaps(timeline.turns, speaker.name):
        axes.plot(span, (top, top), color=_TOGETHER, linewidth=2, solid_capstyle="butt", zorder=3)


def _parts(axes: Axes, parts: Coarse, duration: float, top: float, height: float, full: float) -> None:
    """How long each emotion was heard in equal parts of the time, stacked upwards; ``full`` seconds fill the height."""
    bottom = top + height
    axes.plot((0, duration), (bottom, bottom), color="#d1d5db", linewidth=0.8, zorder=1)
    for part, seconds in enumerate(parts.seconds):
        span = part * parts.length, min((part + 1) * parts.length, duration)
        level = bottom
        for kind in np.flatnonzero(seconds):
            level -= height * seconds[kind] / full
            _box(axes, span, (level, height * seconds[kind] / full), parts.kinds[kind], parts.strengths[part, kind])


def _curves(axes: Axes, timeline: Timeline, speaker: Speaker, top: float, lane: _Lane) -> None:
    """Arousal filled from its middle, valence as a thin line, both from -1 below to 1 above."""
    found = telling.curve(timeline, speaker.name, _POINTS)
    middle, reach = top + lane.curve / 2, lane.curve / 2
    axes.plot((0, timeline.duration), (middle, middle), color="#e3e6eb", linewidth=0.8, zorder=1)
    excited = middle - reach * found.arousal
    axes.fill_between(found.times, middle, excited, color=INK, alpha=0.12, linewidth=0, zorder=2)
    axes.plot(found.times, excited, color=INK, linewidth=1.3, zorder=3)
    axes.plot(
        found.times, middle - reach * found.valence, color=FAINT, linewidth=1.0, linestyle=(0, (2, 1.4)), zorder=3
    )


def _points(axes: Axes, timeline: Timeline, speaker: Speaker, top: float, lane: _Lane) -> None:
    """Where the speaker's emotion turns, with what it turns to as far as there is room until it turns again."""
    inch = timeline.duration / _WIDTH
    foot = top + lane.flag + lane.box + lane.label + lane.curve
    points = sorted(
        (each for each in timeline.turning_points if each.speaker == speaker.name), key=lambda each: each.time
    )
    before = 0.0
    for point, following in zip_longest(points, points[1:]):
        axes.plot((point.time, point.time), (top + 0.12, foot), color=INK, linewidth=1.0, zorder=4)
        axes.plot(point.time, top + 0.12, marker="v", markersize=5, color=INK, zorder=5)
        short = f"→ {point.after}"
        full = f"{telling.clock(point.time)}  {point.before} {short}"
        end = timeline.duration if following is None else following.time
        text = {"y": top + 0.11, "fontsize": 7.5, "color": INK, "va": "center"}
        for told in (full, short):
            wide = _CHARACTER * (len(told) + 3) * inch
            if wide <= end - point.time:
                axes.text(point.time + 0.08 * inch, s=told, ha="left", **text)
                before = point.time + wide
                break
            if following is None and wide <= point.time - before:
                axes.text(point.time - 0.08 * inch, s=told, ha="right", **text)
                break
        else:
            before = point.time


def _legend(figure: Figure, timeline: Timeline, height: str) -> None:
    """What colours, strengths, lines and, of parts, the ``height`` mean, in two lines at the foot."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kinds = telling.kinds(timeline)
    known = [name for name in kinds if name in COLOURS]
    colours: list[Artist | tuple[Artist, ...]] = [Patch(facecolor=COLOURS[name], label=name) for name in known]
    if UNKNOWN in kinds:
        colours.append(Patch(facecolor="white", edgecolor=_OPEN, hatch="//////", linewidth=0, label=UNKNOWN))
    if UNJUDGED in kinds:
        colours.append(Patch(facecolor=_UNJUDGED, label=f"{UNJUDGED}: too short, or spoken over"))
    if not height and any(turn.overlap for turn in timeline.turns):
        colours.append(Line2D([], [], color=_TOGETHER, linewidth=2, label="at the same time as another"))
    lines: list[Artist | tuple[Artist, ...]] = [
        Line2D([], [], color=INK, linewidth=1.3, label="arousal, from calm to excited"),
        Line2D([], [], color=FAINT, linewidth=1, linestyle=(0, (2, 1.4)), label="valence, from unpleasant to pleasant"),
    ]
    if timeline.turning_points:
        lines.append(Line2D([], [], color=INK, marker="v", linewidth=1, markersize=5, label="turning point"))
    told = "; ".join(filter(None, ("the paler, the less sure", height)))
    ramp = COLOURS[known[-1] if known else "neutral"]
    lines.append(tuple(Patch(facecolor=(ramp, alpha), label=told) for alpha in (0.3, 0.65, 1.0)))
    width, tall = figure.get_size_inches()
    for place, handles in ((0.24, colours), (0.02, lines)):
        if handles:
            labels = [each[0].get_label() if isinstance(each, tuple) else each.get_label() for each in handles]
            figure.legend(
                handles, labels, loc="lower left", bbox_to_anchor=((_LEFT - 0.08) / width, place / tall),
                ncol=len(handles), frameon=False, fontsize=8, labelcolor=FAINT, handlelength=1.6, handleheight=0.8,
                columnspacing=1.3, borderpad=0, handletextpad=0.5, handler_map={tuple: HandlerTuple(None, pad=0)},
            )  # fmt: skip
