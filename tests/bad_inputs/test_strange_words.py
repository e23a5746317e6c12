"""Words that no table can hold: control characters, other alphabets, very long and deeply nested ones."""

from pathlib import Path

import pytest

from tests.bad_inputs.bad_input import LONG, BadInput, check_bad_input, name_case, refuse

RUN = ["run", "digits", "--backbone", "vit_nano"]
DEEP = "a/" * 1000 + "b"


def _set(text: str, says: str, name: str) -> BadInput:
    return refuse([*RUN, "--set", text], says, f"setting {name}")


CASES: list[BadInput] = [
    _set("epochs=\uff11\uff12", "epochs: Input should be a valid integer", "with digits of another script"),
    _set("epochs=0x" + "f" * 3000, "--set epochs: the number '0xfff", "of 12,000 bits"),
    _set("epochs=0x" + "f" * 9900, "--set epochs: the number '0xfff", "that Python does not write"),
    _set("epochs=" + "9" * 5000, "epochs: Input should be a valid integer", "that Python does not read"),
    _set("epochs=" + "(" * 9000, "epochs: Input should be a valid integer", "of open brackets"),
    _set("epochs=" + "(" * 100_000, "--set epochs: the value '(((", "of more open brackets"),
    _set("epochs=" + "-" * 9900 + "1", "--set epochs: the value '----", "of many signs"),
    _set("epochs=" + "-" * 100_000 + "1", "--set epochs: the value '----", "of more signs"),
    _set("epochs=" + "[" * 9000, "epochs: Input should be a valid integer", "of open lists"),
    _set("epochs=" + "[" * 3000 + "]" * 3000, "epochs", "of nested lists"),
    _set("epochs=" + "{1:" * 2000 + "1" + "}" * 2000, "epochs", "of nested dictionaries"),
    _set("epochs=" + "x" * 20_000, "is too long; at most 10000 characters are read", "of 20,000 letters"),
    _set("epochs=[" + "1," * 4000 + "]", "epochs: Input should be a valid integer", "of 4,000 numbers"),
    _set("schedule.milestones=[" + "1," * 1500 + "1]", "List should have at most 1000 items", "of 1,500 milestones"),
    _set("optimizer.lr=1" + "0" * 400, "--set optimizer.lr: the number '1000", "above every float"),
    _set("loggers=" + "tensorboard" * 20, "loggers: Input should be a valid list", "of a long word"),
    _set("epochs=\x1b[31m", "epochs: Input should be a valid integer", "with an escape sequence"),
    _set("epochs=1\n2", "epochs: Input should be a valid integer", "of two lines"),
    _set("\u202eepochs=1", "unknown configuration key", "named backwards"),
    _set("x" * 9000 + "=1", "unknown configuration key 'xxx", "with a long name"),
    _set("epochs=a\0b", "has a NUL character", "with NUL"),
    _set("=" * 200, "--set takes key=value", "of equals signs"),
    refuse(["run", "mini_lasot", "--backbone", "vit_nano", "--set", "got10k_list=" + "x" * 400], "it is no path"),
    refuse(["run", "mini_lasot", "--backbone", "vit_nano", "--set", "got10k_exclude=" + DEEP * 3], "it is no path"),
    refuse([*RUN, "--set", *["a=1"] * 1000], "unknown configuration key 'a'", "a thousand settings"),
    refuse([*RUN, *[f"--seeds={number}" for number in range(-1000, 0)]], "--seeds: must be a whole number"),
    refuse([*RUN, *["extra"] * 100_000], "extra and 99995 more", "100,000 unknown words"),
    refuse([*RUN, "--" + "x" * 300], "is too long", "long option"),
    refuse([*RUN, "--tier", "smo\nke"], "invalid choice", "choice with a line break"),
    refuse([*RUN, "--tier", "a b " * 60], "invalid choice: 'a b a b", "choice of many words"),
    refuse([*RUN, "--tier", "x/" * 1900], "invalid choice: 'x/x/", "choice of 3,800 letters"),
    refuse(["x" * 10_000], "is too long", "long verb"),
    refuse(["x/" * 1000], "unknown command 'x/x/", "verb as a path"),
    refuse(["\x1b[2J"], "unknown command", "verb with an escape sequence"),
    refuse([""], "an empty word", "empty verb"),
    refuse(["run", ""], "an empty word '' after 'run'", "empty task"),
    refuse([*RUN, "--out="], "an empty word '--out='", "empty value after an equals sign"),
    refuse(["run", "digits\n", "--backbone", "vit_nano"], "unknown task 'digits\\n'", "task with a line break"),
    refuse(["run", "digits", "--backbone", "v\u0456t_nano"], "unknown backbone", "backbone in two alphabets"),
    refuse(["run", "digits", "--backbone", "vit\nnano"], "unknown backbone 'vit\\nnano'", "backbone with a line break"),
    refuse(["run", "digits", "--backbone", "\x1b[2Jx"], "unknown backbone '\\x1b[2Jx'", "backbone that clears"),
    refuse(["run", "digits", "--backbone", "timm/" + "x/" * 400], "timm has no model 'x/x/", "long model of timm"),
    refuse([*RUN, "--protocol", "\u202eknn"], "has no protocol '\\u202eknn'", "protocol backwards"),
    refuse([*RUN, "--checkpoint", DEEP], "there is no checkpoint at", "deep path"),
    refuse([*RUN, "--checkpoint", DEEP * 3], "is too long", "path above PATH_MAX"),
    refuse([*RUN, "--out", LONG + "x" * 6], "is too long", "name above NAME_MAX"),
    refuse([*RUN, "--data-root", "\u00e9" * 128], "is too long", "name above NAME_MAX in bytes"),
    refuse([*RUN, "--label", "x" * 200], "--label has 200 characters", "long label"),
    refuse([*RUN, "--label", "a\nb"], "--label 'a b' has line breaks", "label of two lines"),
    refuse([*RUN, "--label", "\x1b[2Jx"], "--label '\\\\u001b[2Jx' has line breaks", "label that clears"),
    refuse(["pretrain", "mae", "--backbone", "vit_nano", "--data", "a\tb"], "unknown pre-training data 'a\\tb'"),
    refuse(["show", "task", "digits\x1b[2J"], "unknown task 'digits\\x1b[2J'", "shown task that clears"),
    refuse(["show", "run", "*", "--runs", "empty"], "no run '*'"),
    refuse(["show", "run", "..", "--runs", "empty"], "no run '..'"),
    refuse(["compare", LONG, "b", "--runs", "empty"], "no run 'xxx"),
    refuse(["compare", "a", "b", "--runs", "empty"], "no run 'a'"),
    refuse(["choose", "--task", "digits", "--under", "\uff110ms"], "is no limit", "limit in another script"),
    refuse(["export", "x", "--format", "onnx", "--size", "\uff15x\uff15"], "must be dynamic", "size in another script"),
    refuse(["track", "folder", "--init", "\uff11,2,3,4"], "must be four numbers", "box in another script"),
    refuse(["track", "folder", "--init", ",".join(["1e308"] * 4000)], "is too long", "box of 4,000 numbers"),
    refuse(["track", "1" * 20, "--init", "1,2,3,4", "--run", "x"], "there is no camera", "camera 1e20"),
    refuse(["track", "4294967296", "--init", "1,2,3,4", "--run", "x"], "there is no camera '4294967296'"),
    refuse(["add", "backbone", "x" * 200, "--checkpoint", "file.txt"], "is not a valid name", "long new name"),
    refuse(["add", "backbone", "my\nname", "--checkpoint", "file.txt"], "is not a valid name", "new name of two lines"),
    refuse(["cache", "--prune", "\uff11"], "must be a number of days", "days in another script"),
]


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_strange_words(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
