"""The backbone registry: built-in cards, cards added by the user, plug-ins, and any ``timm/<name>``.

Torch is imported only to look up a timm model.
"""

from __future__ import annotations

from dataclasses import replace

from backbones import user_cards
from backbones.card import WEIGHT_SUFFIXES, BackboneCard, PretrainedWeights
from backbones.weight_sources.hub import HUB_PREFIX, read_hub_card
from foundation.display_text import shorten_value
from foundation.errors import UnknownNameError, UserError
from foundation.registry import Registry
from foundation.source_hash import hash_module_sources, is_library_module
from foundation.suggest import did_you_mean

TIMM_PREFIX = "timm/"


def _to_card(name: str, value: object) -> BackboneCard:
    """Convert a registered object to a card: a card, or a factory decorated with timm's ``register_model``.

    Raises:
        TypeError: the object is neither of them, or a card of another name.
    """
    if isinstance(value, BackboneCard):
        if value.name != name:
            raise TypeError(f"the card calls itself {value.name!r} but is registered as {name!r}")
        return value
    if callable(value):
        return _card_from_timm(name, getattr(value, "__name__", ""), module=value.__module__)
    raise TypeError(f"a backbone must be a BackboneCard or a factory registered with timm, not {type(value).__name__}")


BACKBONES: Registry[BackboneCard] = Registry("backbone", "bench.backbones", _to_card)
# names only, so that listing them imports no card module; the card of NAME is the module's attribute in upper case
_CARD_NAMES_BY_MODULE = {
    "small_images": "vit_nano vit_pico vit_micro vit_cifar mae_vit_cifar",
    "scratch": "vit_tiny vit_small vit_base vit_tiny_rpe vit_small_rpe hiera_lite swin_lite",
    "supervised": "deit_tiny deit_tiny_12h mae_d2_tiny_ft_rpe",
    "lite": "efficientnet_lite0 efficientnet_lite1 efficientnet_lite2",
    "masked": "mae_tiny mae_small mae_base beit_tiny bootmae_tiny maskfeat_tiny mocov3_tiny",
    "distilled": "mae_distill_tiny mae_distill_small mae_d2_tiny",
    "hierarchical": "mae_hiera mae_distill_hiera simmim_swin simmim_d2_swin",
}
for _module, _names in _CARD_NAMES_BY_MODULE.items():
    for _name in _names.split():
        BACKBONES.register(_name, f"backbones.cards.{_module}:{_name.upper()}")
for _name in user_cards.list_user_cards():
    BACKBONES.register(_name, f"backbones.user_cards:{_name}", origin=f"you ({user_cards.get_card_path(_name)})")


def get_card(name: str) -> BackboneCard:
    """Return the card of a registered backbone, or create one for ``timm/<name>`` or ``hf-hub:OWNER/REPO``.

    Args:
        name: registry name, ``timm/<name>``, or ``hf-hub:OWNER/REPO`` for a repository that timm can load.

    Raises:
        CheckpointError: the configuration of the repository is not here and cannot be fetched, or is not timm's.
        UnknownNameError: there is no such backbone; the message suggests similar names.
        BrokenPluginError: the plug-in or the user's card cannot be loaded; the message has the original error.
    """
    if name.startswith(HUB_PREFIX):
        return read_hub_card(name)
    if not name.startswith(TIMM_PREFIX):
        _refuse_file_name(name)
        card, module = BACKBONES.get(name), BACKBONES.get_plugin_module(name)
        # importing a plug-in may register its architecture; a card that is made from this one must import it too
        return replace(card, module=module) if module and not card.module else card
    import timm

    model = name.removeprefix(TIMM_PREFIX)
    if not timm.is_model(model):
        # without the tag of the weights ("vit_base_patch16_224.mae"), which timm.list_models does not have either
        close = did_you_mean(model.split(".")[0], timm.list_models(), hint="see timm.list_models()")
        raise UnknownNameError(f"timm has no model {shorten_value(model)}{close}")
    # what a package has registered with timm, perhaps under one of timm's own names, is that package's code
    module = find_architecture_module(model)
    return _card_from_timm(name, model, module="" if is_library_module(module) else module)


def _refuse_file_name(name: str) -> None:
    """Refuse the name of a weight file, which tells no architecture.

    Raises:
        UnknownNameError: saying where the file belongs.
    """
    if name.endswith(WEIGHT_SUFFIXES):
        raise UnknownNameError(
            f"{name} is a weight file, and --backbone takes an architecture: give it with --checkpoint {name} and name "
            f"its backbone, or keep both under a name with bench add backbone NAME --checkpoint {name}"
        )


def find_architecture_module(architecture: str) -> str:
    """Return the module that registered an architecture with timm, as far as this process has imported it.

    Args:
        architecture: name of a timm model; "" is returned for one that timm reads from elsewhere (``hf-hub:``).
    """
    import timm

    return str(timm.models.model_entrypoint(architecture).__module__) if timm.is_model(architecture) else ""


def list_plugin_modules(card: BackboneCard) -> tuple[str, ...]:
    """Return the modules that hold a backbone's code and are neither bench's nor timm's, sorted. Imports none of them.

    Whatever an entry point registers is a plug-in's, even a card of one of timm's own architectures. The card may
    name a second module.

    Args:
        card: not that of a module from memory.
    """
    named = {card.module, BACKBONES.get_plugin_module(card.name) or ""} - {""}
    return tuple(sorted(name for name in named if not is_library_module(name)))


def require_own_architecture(card: BackboneCard) -> None:
    """Pass if the architecture is bench's or timm's, or of a plug-in that the card is from.

    timm lets a package register a model under a name that is taken. Once it is imported, that model is created for
    cards that mean the other one.

    Raises:
        UserError: naming the module that registered the architecture.
    """
    home, modules = find_architecture_module(card.architecture), list_plugin_modules(card)
    if not home or is_library_module(home):
        return
    source = hash_module_sources(*modules) if modules else None
    # a plug-in whose source was not found is never answered from a record, whatever it registers
    if not modules or (source is not None and not source.covers_module(home)):
        raise UserError(
            f"the module {home} has registered {card.architecture} with timm, and its code does not count in the id of "
            f"a run of {card.name}; start Python without importing it, or, if it is meant, name it as the card's module"
        )


def _card_from_timm(name: str, model_name: str, module: str = "") -> BackboneCard:
    """Create a card from timm's own configuration of a model, with weights if timm knows a hub repository.

    Raises:
        TypeError: timm does not know the model.
    """
    import timm

    if not timm.is_model(model_name):
        raise TypeError(f"{model_name!r} is not registered with timm; decorate the factory with register_model")
    # a name without a tag gets the configuration of timm's default weights
    config = timm.get_pretrained_cfg(model_name, allow_unregistered=True)
    if config is None:
        return BackboneCard(name, model_name, f"timm model {model_name}", module=module)
    weights = None
    if config.hf_hub_id:
        source = f"timm, {config.hf_hub_id}"
        licence = config.license or "not stated"
        weights = PretrainedWeights(f"hf-hub:{config.hf_hub_id}", config.tag or "timm's", source, licence)
    return BackboneCard(
        name=name,
        architecture=model_name,
        summary=f"timm model {model_name}",
        input_size=tuple(config.input_size),
        mean=tuple(config.mean),
        std=tuple(config.std),
        weights=weights,
        module=module,
    )
