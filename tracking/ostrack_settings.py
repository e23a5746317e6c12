"""What a checkpoint of OSTrack's code says about its tracker, what the user asks for, and what follows from both.

OSTrack saves its training settings beside the weights (lib/train/trainers/base_trainer.py at 33b5e125): ``output_sz``
and ``search_area_factor``, each with an entry for ``template`` and ``search``, and ``config_name``, the name of the
experiment's file. Only that name shows whether the tracker was trained with candidate elimination: the published
experiments have the word ``ce`` in their names if it was. The weights are the same either way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from backbones.checkpoints.reading.pickle_stubs import SettingsObject
from engine.config import load_protocol
from foundation.errors import UnknownNameError, UserError
from foundation.suggest import did_you_mean
from tracking.recipe import TrackingRecipe

OSTRACK_PROTOCOLS = ("ostrack256", "ostrack256_ce", "ostrack384")
"""The protocols whose crops and candidate elimination ``--protocol`` can ask for."""

_PUBLISHED_NAME = re.compile(r"vit\w*?_\d{3}_", re.IGNORECASE)
"""How the names of the published experiments begin: ``vitb_256_mae_ce_32x4_ep300``, ``vit_tiny_256_ce_32x4_ep300``."""

_CROP_FIELDS = ("template_size", "search_size", "template_factor", "search_factor")
_WIDE_SEARCH_SIZE, _WIDE_SEARCH_FACTOR = 384, 5.0
"""The published trackers of this size search in a wider region."""


class TrackerSettings(NamedTuple):
    """How a tracker is applied; ``None`` where nobody says it.

    Attributes:
        template_size, search_size: sides of the crops, pixels.
        template_factor, search_factor: sides of the regions that they show, as multiples of the target's side.
        ce: whether search tokens are dropped (candidate elimination).
    """

    template_size: int | None = None
    search_size: int | None = None
    template_factor: float | None = None
    search_factor: float | None = None
    ce: bool | None = None


class StatedSettings(NamedTuple):
    """What a checkpoint says about its tracker.

    Attributes:
        settings: the settings; ``None`` where the file says nothing.
        config_name: name of the experiment; "" if the file does not have it.
        notes: what could not be used, one sentence each.
    """

    settings: TrackerSettings
    config_name: str = ""
    notes: tuple[str, ...] = ()


class ResolvedSettings(NamedTuple):
    """How a tracker is applied, and why.

    Attributes:
        recipe: the settings; those of training have no meaning.
        notes: what the file says, and what was assumed, one sentence each.
    """

    recipe: TrackingRecipe
    notes: tuple[str, ...]


def read_stated_settings(content: object) -> StatedSettings:
    """Read the settings that a checkpoint stores beside its weights; it may be anybody's file.

    Args:
        content: content of the file. Its entry ``settings`` is an object of OSTrack's code, or a plain mapping.
    """
    stored = content.get("settings") if isinstance(content, Mapping) else None
    # what the stub of OSTrack's class kept, or plain data as bench's own export has them
    values: Mapping[Any, Any] = stored.values if isinstance(stored, SettingsObject) else {}
    if isinstance(stored, Mapping):
        values = stored
    found: dict[str, Any] = {}
    notes = []
    for key, kind in (("output_sz", "size"), ("search_area_factor", "factor")):
        if key not in values:
            continue
        entry = values[key]
        pair = [entry.get(part) for part in ("template", "search")] if isinstance(entry, Mapping) else []
        measures = [_read_measure(value, whole=kind == "size") for value in pair]
        if len(measures) == 2 and None not in measures:
            found |= {f"template_{kind}": measures[0], f"search_{kind}": measures[1]}
        else:
            notes.append(f"settings.{key} of the file is of a form that bench does not know, so it is not used")
    # cut, since it is shown in messages
    name = values.get("config_name")
    config_name = name[:200] if isinstance(name, str) else ""
    return StatedSettings(TrackerSettings(**found, ce=_read_ce(config_name)), config_name, tuple(notes))


def _read_measure(value: object, *, whole: bool) -> int | float | None:
    """Return a value as a size in pixels or as a factor; ``None`` if it cannot be one."""
    # True is an int in Python
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    # a limit, as the sizes decide how much memory a crop takes
    if not 0 < value <= 10_000 or (whole and value != int(value)):
        return None
    return int(value) if whole else float(value)


def _read_ce(config_name: str) -> bool | None:
    """Return whether an experiment uses candidate elimination, by its name; ``None`` if the name does not tell.

    Example:
        >>> [_read_ce(name) for name in ("vitb_256_mae_ce_32x4_ep300", "vitb_384_mae_32x4_ep300", "my_tracker")]
        [True, False, None]
        >>> _read_ce("vitb_256_MAE-CE_ep300")
        True
    """
    # a word of the name, in whatever spelling: "once" or "place" says nothing
    if "ce" in re.split(r"[\W_]+", config_name.casefold()):
        return True
    return False if _PUBLISHED_NAME.match(config_name) else None


def resolve_settings(
    stated: StatedSettings,
    asked: TrackerSettings,
    protocol: tuple[str, TrackingRecipe] | None,
    grid_sizes: tuple[int, int] | None,
) -> ResolvedSettings:
    """Resolve how a tracker of OSTrack's code is applied: what the file says, else what the user asks for.

    Args:
        stated: what the file says.
        asked: what the user asks for, setting by setting.
        protocol: name and settings of a protocol, which asks for crops and candidate elimination at once, or ``None``.
        grid_sizes: template size and search size by the numbers of position embeddings, in pixels; ``None`` if they do
            not show them.

    Raises:
        UserError: the user asks for something else than the file says.
    """
    wanted: dict[str, Any] = {}
    if protocol is not None:
        wanted = {name: getattr(protocol[1], name) for name in _CROP_FIELDS} | {"ce": protocol[1].use_ce}
        require_agreement(stated, wanted, f"the protocol {protocol[0]}")
    single = {name: value for name, value in asked._asdict().items() if value is not None}
    require_agreement(stated, single, "--set")
    # last, so that the file wins; by now nobody contradicts it
    said = {name: value for name, value in stated.settings._asdict().items() if value is not None}
    chosen = {**wanted, **single, **said}
    notes = list(stated.notes)
    if said:
        notes.append(f"the file's own settings are used: {_format_settings(said)}{_format_name(stated.config_name)}")
    chosen, assumed = _complete_settings(chosen, grid_sizes)
    if assumed:
        notes.append(f"neither the file nor the command says {_format_settings(assumed)}; this was assumed")
    # the only setting whose wrong value nothing shows: all tensors load, and the tracker is merely a little worse
    if "ce" in assumed:
        notes.append(
            "the weights are the same with and without candidate elimination, so if the tracker was trained with it "
            "(a published one has _ce_ in its name), ask for it: bench evaluate --set ce=true, or bench track "
            "--protocol ostrack256_ce"
        )
    changes = {name: chosen[name] for name in _CROP_FIELDS if name in chosen}
    recipe = load_ostrack_recipe(OSTRACK_PROTOCOLS[0])  # for what does not concern the tracker
    # validated as a whole, as model_copy would skip the rules of the fields
    content = {**recipe.model_dump(), **changes, "use_ce": chosen["ce"]}
    return ResolvedSettings(TrackingRecipe.model_validate(content), tuple(notes))


def load_ostrack_recipe(protocol: str) -> TrackingRecipe:
    """Load the settings of a protocol of OSTrack.

    Args:
        protocol: one of ``OSTRACK_PROTOCOLS``.

    Raises:
        UnknownNameError: there is no such protocol.
    """
    if protocol not in OSTRACK_PROTOCOLS:
        choices = ", ".join(OSTRACK_PROTOCOLS)
        raise UnknownNameError(
            f"an OSTrack checkpoint has no protocol {protocol!r}"
            f"{did_you_mean(protocol, OSTRACK_PROTOCOLS, hint=f'choose from {choices}')}"
        )
    # always the tier full: the file was trained by another program, so only crops and elimination matter
    return load_protocol(Path(__file__).parent / "configs" / f"{protocol}.py", TrackingRecipe, "full").recipe


def _complete_settings(
    chosen: dict[str, Any], grid_sizes: tuple[int, int] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings with those that nobody gave, and the latter alone where they are a guess."""
    # the sizes follow from the weights; the loading refuses others
    if grid_sizes is not None:
        chosen = {"template_size": grid_sizes[0], "search_size": grid_sizes[1], **chosen}
    wide = chosen.get("search_size") == _WIDE_SEARCH_SIZE
    guesses = {"template_factor": 2.0, "search_factor": _WIDE_SEARCH_FACTOR if wide else 4.0, "ce": False}
    assumed = {name: value for name, value in guesses.items() if name not in chosen}
    return {**assumed, **chosen}, assumed


def require_agreement(
    stated: StatedSettings, wanted: Mapping[str, Any], option: str, source: str = "the checkpoint"
) -> None:
    """Check that the user asks for what a tracker's file or run says.

    Args:
        stated: what it says.
        wanted: what the user asks for, by name of the setting.
        option: how the user asked.
        source: what says it, for the message.

    Raises:
        UserError: the user asks for something else.
    """
    for name, value in wanted.items():
        said = getattr(stated.settings, name)
        # where the file says nothing, the user is free
        if said is not None and said != value:
            raise UserError(
                f"{source} says {_format_settings({name: said})}{_format_name(stated.config_name)}, and {option} "
                f"asks for {_format_settings({name: value})}; leave that out to track as the tracker was trained"
            )


def _format_settings(settings: Mapping[str, Any]) -> str:
    """Return settings as ``key=value``."""
    texts = {name: str(value).lower() if isinstance(value, bool) else f"{value:g}" for name, value in settings.items()}
    return ", ".join(f"{name}={text}" for name, text in texts.items())


def _format_name(config_name: str) -> str:
    return f" (config_name {config_name})" if config_name else ""


def describe_tracker(recipe: TrackingRecipe) -> dict[str, Any]:
    """Return how a tracker is applied, as a record stores it; what all trackers have in common is left out.

    Args:
        recipe: the settings of the tracker.
    """
    described: dict[str, Any] = {name: getattr(recipe, name) for name in _CROP_FIELDS}
    if recipe.geometry != "ostrack":
        described["geometry"] = recipe.geometry
    if recipe.head_channels != 256:
        described["head_channels"] = recipe.head_channels
    if recipe.use_ce:
        described["ce"] = {"blocks": list(recipe.ce.blocks), "keep_ratio": recipe.ce.keep_ratio}
    if recipe.asymmetric_attention:
        described["asymmetric_attention"] = True
    return described


def find_matching_protocol(recipe: TrackingRecipe) -> str | None:
    """Return the protocol with the crops and the candidate elimination of a tracker, or ``None`` if none has them.

    Args:
        recipe: the settings of the tracker.
    """
    protocols = ((name, load_ostrack_recipe(name)) for name in OSTRACK_PROTOCOLS)
    wanted = describe_tracker(recipe)
    return next((name for name, own in protocols if describe_tracker(own) == wanted), None)
