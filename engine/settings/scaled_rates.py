"""Let the learning rates of a recipe follow its batch size, where the protocol's source has that rule.

Papers give a rate for 256 (or 512, or 2048) images, and their code multiplies it by batch size / 256. The rule is Goyal
et al. 2017, arXiv 1706.02677: with k times the images in a step, one step takes the place of k. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from foundation.values.number_ranges import MAX_BATCH


class ScaledRate(NamedTuple):
    """A rate that followed the batch size.

    Attributes:
        name: dotted name of the setting.
        value: the rate (or list of rates) for the batch size of the run.
        batch: this batch size.
        base: the rate (or rates) as it was given.
        base_batch: the batch size for which it was given.
    """

    name: str
    value: Any
    batch: int
    base: Any
    base_batch: int


class RateScaler:
    """Keeps for which batch size each rate was given, while changes are applied to a recipe one source at a time.

    A source is the protocol's file, its tier, or the user. A rate belongs to the batch size of the source that gives
    it: where the tier gives both, the user's ``batch_size`` scales the rate of the tier; where the user gives both,
    nothing is scaled.

    Args:
        recipe: the recipe of the protocol's file.
        names: dotted names of the settings that follow the batch size.
    """

    def __init__(self, recipe: Mapping[str, Any], names: Sequence[str]) -> None:
        self._bases = {name: (_get_setting(recipe, name), recipe["batch_size"]) for name in names}
        self._bases_before = dict(self._bases)  # without what the last source gave

    def note_given_rates(self, recipe: Mapping[str, Any], given: Collection[str]) -> None:
        """Take the rates that a source gives as those for the batch size that holds after it.

        Args:
            recipe: the recipe with the changes of that source.
            given: dotted names of all settings that the source gives.
        """
        self._bases_before = dict(self._bases)
        for name in self._bases.keys() & set(given):
            self._bases[name] = (_get_setting(recipe, name), recipe["batch_size"])

    def scale_rates(self, recipe: dict[str, Any]) -> tuple[ScaledRate, ...]:
        """Replace in a recipe the rates that were given for another batch size.

        Args:
            recipe: the recipe with all changes; changed in place. A batch size that no recipe may have changes nothing,
                since validating the recipe reports it.

        Returns:
            What was replaced.
        """
        scaled = _scale_bases(self._bases, recipe.get("batch_size"))
        for rate in scaled:
            *parents, last = rate.name.split(".")
            reduce(lambda group, key: group[key], parents, recipe)[last] = rate.value
        return scaled

    def list_kept_rates(self, recipe: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the rates that the last source gave in place of what the rule makes of the others'.

        Such a rate departs from the protocol even where its value is that of the file, which is for another batch size.

        Args:
            recipe: the recipe after ``scale_rates``.
        """
        followed = self.get_followed_rates(recipe)
        return tuple(name for name, value in followed.items() if _get_setting(recipe, name) != value)

    def get_followed_rates(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the rule makes of the rates without those that the last source gave, by dotted name.

        Args:
            recipe: the recipe with all changes.
        """
        return {rate.name: rate.value for rate in _scale_bases(self._bases_before, recipe.get("batch_size"))}


def _scale_bases(bases: Mapping[str, tuple[Any, int]], batch: Any) -> tuple[ScaledRate, ...]:
    """Return the rates for a batch size, of those that were given for another one."""
    # protocols that train nothing may have no batch size
    if isinstance(batch, bool) or not isinstance(batch, int) or not 0 < batch <= MAX_BATCH:
        return ()
    scaled = []
    for name, (base, base_batch) in bases.items():
        if base_batch == batch or base == []:
            continue
        is_list = isinstance(base, list)
        value = [_scale(rate, batch, base_batch) for rate in base] if is_list else _scale(base, batch, base_batch)
        scaled.append(ScaledRate(name, value, batch, base, base_batch))
    return tuple(scaled)


def describe_scaled_rates(scaled: Sequence[ScaledRate]) -> tuple[str, ...]:
    """Return a sentence about the rates that followed the batch size, if any did.

    >>> describe_scaled_rates([ScaledRate("optimizer.lr", 0.001875, 32, 0.03, 512)])
    ('by the rule of the protocol the rate follows batch_size=32: optimizer.lr=0.001875 (0.03 for 512)',)
    """
    if not scaled:
        return ()
    rates = ", ".join(f"{each.name}={each.value} ({each.base} for {each.base_batch})" for each in scaled)
    return (f"by the rule of the protocol the rate follows batch_size={scaled[0].batch}: {rates}",)


def _get_setting(recipe: Mapping[str, Any], name: str) -> Any:
    return reduce(lambda group, key: group[key], name.split("."), recipe)


def _scale(rate: float, batch_size: int, base_batch: int) -> float:
    """Return a rate for another batch size.

    It is rounded to 12 digits, so that the rate that a run states can be given back to it and is the same number.

    >>> _scale(2.4e-3, 256, 4096), _scale(0.1, 48, 512)
    (0.00015, 0.009375)
    """
    return float(f"{rate * batch_size / base_batch:.12g}")
