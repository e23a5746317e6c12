"""Load protocols from Python config files and apply ``--set key=value``; an unknown key names the nearest one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from mmengine.config import Config
from pydantic import ValidationError

from engine.recipe import ITEM_LIMITS, ProtocolSettings, StrictConfig
from engine.settings.scaled_rates import RateScaler, ScaledRate, describe_scaled_rates
from engine.settings.setting_text import parse_setting, split_override
from foundation.display_text import shorten_value
from foundation.errors import ConfigError
from foundation.run_scope import memoize_in_run
from foundation.suggest import did_you_mean
from results.records.renamed_settings import find_new_name, find_new_value
from results.records.strict_model import format_validation_errors

RecipeT = TypeVar("RecipeT", bound=ProtocolSettings)
SettingsT = TypeVar("SettingsT", bound=StrictConfig)


@dataclass(frozen=True)
class ResolvedProtocol(Generic[RecipeT]):
    """A resolved protocol.

    Attributes:
        version: version of the protocol's file.
        source: where the recipe's values come from.
        recipe: the recipe after applying the tier and the overrides.
        rate_settings: dotted names of the learning rates that follow the batch size.
        scaled_rates: those of them that did, because it is another one than theirs.
        changed: dotted names of the settings to which the overrides give another value than file, tier and rule.
        kept_rates: dotted names of those that the overrides give instead, beside another batch size.
    """

    version: int
    source: str
    recipe: RecipeT
    rate_settings: tuple[str, ...] = ()
    scaled_rates: tuple[ScaledRate, ...] = ()
    kept_rates: tuple[str, ...] = ()
    changed: frozenset[str] = frozenset()

    @property
    def scaled_settings(self) -> tuple[str, ...]:
        """Dotted names of the rates that followed the batch size."""
        return tuple(rate.name for rate in self.scaled_rates)

    @property
    def plan_fields(self) -> dict[str, Any]:
        """What a ``RunPlan`` says of the settings themselves, by the names of its fields."""
        return {
            "rate_settings": self.rate_settings,
            "scaled_settings": self.scaled_settings,
            "kept_settings": self.kept_rates,
            "later_settings": self.recipe.list_later_settings(),
        }


def load_protocol(
    path: Path, recipe_type: type[RecipeT], tier: str, overrides: Sequence[str] = ()
) -> ResolvedProtocol[RecipeT]:
    """Read a protocol file and resolve its recipe.

    The file defines ``version``, ``source``, ``recipe`` (a dict) and ``tiers`` (changes for smoke and short runs,
    by dotted key). Overrides are applied last. The rates that the file names in ``scaled_with_batch``, if any, then
    follow the batch size (``engine.settings.scaled_rates``).

    Args:
        path: one of our own config files (it is executed).
        recipe_type: the class of the recipe.
        tier: ``smoke``, ``short`` or ``full``.
        overrides: ``key=value`` with dotted keys, as given to ``--set``.

    Raises:
        ConfigError: an unknown key, invalid values (all of them are listed), a limit of items at the tier ``full``, or
            an override without effect.
    """
    file = _read_protocol_file(path)
    # Validating first fills in the defaults, so that an override may name a setting that the file leaves out.
    recipe = _validate_recipe(recipe_type, file["recipe"], str(path.name)).model_dump()
    rates = tuple(file.get("scaled_with_batch", ()))
    scaler = RateScaler(recipe, rates)
    # ``!r`` writes a value as a Python literal, which ``parse_value`` reads back unchanged.
    in_tier = [] if tier == "full" else [f"{key}={value!r}" for key, value in file["tiers"][tier].items()]
    protocol = recipe
    for changes in (in_tier, overrides):
        protocol = recipe  # in the end: file and tier, without the overrides
        for change in changes:
            recipe = _apply_override(recipe, change)
        scaler.note_given_rates(recipe, [split_override(change)[0] for change in changes])
    scaled = scaler.scale_rates(recipe)
    try:
        resolved = _validate_recipe(recipe_type, recipe, "--set")
    except ConfigError as error:
        # the fault may be in a number that nobody typed
        blamed = [rate for rate in scaled if rate.name in str(error)]
        raise ConfigError("; ".join((str(error), *describe_scaled_rates(blamed)))) from error
    if tier == "full":
        _require_no_limit(resolved)
    # a rate that the rule gives anyway is no change of it
    own = _flatten_config(protocol) | scaler.get_followed_rates(recipe)
    now = _flatten_config(resolved.model_dump())
    named = {split_override(change)[0] for change in overrides}
    changed = frozenset(name for name in named if own[name] != now[name])
    _require_effect(resolved, changed)
    kept = scaler.list_kept_rates(recipe)
    return ResolvedProtocol(file["version"], file["source"], resolved, rates, scaled, kept, changed)


def _require_effect(recipe: ProtocolSettings, changed: Collection[str]) -> None:
    """Refuse changes of settings that have no effect beside the others: one number would have two ids."""
    for name, reason in recipe.explain_idle_settings().items():
        if name in changed:
            raise ConfigError(f"--set {name} changes nothing, because {reason}; leave it out")


def _require_no_limit(recipe: ProtocolSettings) -> None:
    """Refuse limits for ``full``, which stands for the complete protocol on the complete data."""
    for name in ITEM_LIMITS:
        if getattr(recipe, name, None) is not None:
            raise ConfigError(f"{name} limits the tiers smoke and short, and full is the complete protocol; add --tier")


@memoize_in_run  # a plan of many cells reads a file once; nobody changes what was read
def _read_protocol_file(path: Path) -> dict[str, Any]:
    file: dict[str, Any] = Config.fromfile(path, lazy_import=False).to_dict()  # resolves ``_base_`` files
    return file


def parse_flat_settings(
    settings_type: type[SettingsT],
    overrides: Sequence[str],
    owner: str,
    convert: Callable[[str, str, Any], Any] = lambda key, text, value: value,
) -> SettingsT:
    """Read the settings of a finished model, which have no groups.

    Args:
        settings_type: the class of the settings.
        overrides: the texts of ``--set``, ``key=value``.
        owner: whose settings they are, for the sentence.
        convert: gets key, text and parsed value, and returns the value that is checked.

    Raises:
        ConfigError: a text is not ``key=value``, a key is unknown, or values are not valid (all of them are listed).
    """
    known, values = list(settings_type.model_fields), {}
    for override in overrides:
        key, text = split_override(override)
        if key not in known:
            hint = did_you_mean(key, known, hint=", ".join(known))
            raise ConfigError(f"{owner} has no setting {shorten_value(key)}{hint}")
        values[key] = convert(key, text, parse_setting(key, text))
    try:
        return settings_type.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"the settings are invalid (--set): {format_validation_errors(error)}") from error


COMMON_NAMES = {
    "learning_rate": "lr",
    "base_lr": "lr",
    "wd": "weight_decay",
    "bs": "batch_size",
    "batch": "batch_size",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "max_iters": "iterations",
    "num_workers": "workers",
    "image_size": "img_size",
    "input_size": "img_size",
    "resolution": "img_size",
    "amp": "precision",
    "warmup_epochs": "warmup",
}
"""What other tools call a setting, by its last word."""


def _apply_override(config: Mapping[str, Any], override: str) -> dict[str, Any]:
    """Return a copy of a nested configuration with one ``dotted.key=value`` changed.

    Raises:
        ConfigError: the text is not ``key=value``, or the key is unknown, renamed or a group of settings.
    """
    key, text = split_override(override)
    known = list(_flatten_config(config))
    if key not in known:
        if any(name.startswith(f"{key}.") for name in known):
            inside = ", ".join(name for name in known if name.startswith(f"{key}."))
            raise ConfigError(f"--set {key} is a group; set one of {inside}")
        new = find_new_name(key)  # settings of earlier versions
        if new is not None and any(name == new or name.startswith(f"{new}.") for name in known):
            raise ConfigError(f"--set {key} is called {new} now; write --set {new}={find_new_value(new, text)}")
        # lr and learning_rate are what people type for optimizer.lr
        last = COMMON_NAMES.get(key.rpartition(".")[2], key.rpartition(".")[2])
        if meant := [name for name in known if name.rpartition(".")[2] == last]:
            raise ConfigError(f"unknown configuration key {shorten_value(key)}; did you mean {' or '.join(meant)}?")
        raise ConfigError(
            f"unknown configuration key {shorten_value(key)}{did_you_mean(key, known, hint=', '.join(known))}"
        )
    changed = _copy_config(config)  # the caller's configuration must stay unchanged
    *parents, last = key.split(".")
    group = changed
    for parent in parents:
        group = group[parent]
    group[last] = parse_setting(key, text)
    return changed


def _flatten_config(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):  # a group of settings; its own name is not a key
            flat.update(_flatten_config(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _copy_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy_config(value) if isinstance(value, Mapping) else value for key, value in config.items()}


def _validate_recipe(recipe_type: type[RecipeT], content: Mapping[str, Any], source: str) -> RecipeT:
    try:
        return recipe_type.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"the configuration is invalid ({source}): {format_validation_errors(error)}") from error
