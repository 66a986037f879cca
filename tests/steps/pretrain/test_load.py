"""load: the file's tensors, the file's normalisation, the data's labels; nothing that could run code."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import lichen as li
from lichen.core import signature
from lichen.core.errors import DataError, UnsafeInputError, UsageError
from lichen.engine.modules import architecture, pretrained

SHARED = Path(os.environ.get("LICHEN_DATA", "/nonexistent")) / "pretrained" / "cifar_resnet"
FULL = pytest.mark.skipif(
    not os.environ.get("LICHEN_FULL"), reason="a minute of computing: with LICHEN_FULL=1"
)
needs_weights = pytest.mark.skipif(not SHARED.is_dir(), reason="LICHEN_DATA holds no pretrained/cifar_resnet")


def rows(num_classes=3, channels=3):
    images = torch.randint(
        0, 256, (60, channels, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return li.arrays(images, torch.arange(60) % num_classes)


@pytest.fixture
def file(tmp_path):
    """A ResNet of depth 8 for three classes, with its head under another library's name, and its tensors."""
    torch.manual_seed(3)
    module = architecture.build("cifar_resnet", {"depth": 8}, (3, 8, 8), 3)
    tensors = {name.replace("head.", "fc."): tensor for name, tensor in module.state_dict().items()
               if "num_batches" not in name}  # fmt: skip
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path, {"normalisation": "imagenet mean/std"})
    return path, module.state_dict()


def load(file, data=None, **options):
    return li.pretrain.load(
        data or rows(), net="cifar_resnet", net_options={"depth": 8}, weights=str(file), **options
    )


def test_every_tensor_is_the_files(file):
    path, tensors = file
    found = load(path).torch().state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_normalisation_comes_from_the_file_and_labels_from_the_data(file):
    model = load(file[0])
    assert model.assets["mean"] == [0.485, 0.456, 0.406] and model.assets["labels"] == ["0", "1", "2"]
    assert load(file[0], normalisation="data").assets["mean"] != model.assets["mean"]
    assert load(file[0], normalisation="half").assets["std"] == [0.5, 0.5, 0.5]


def test_another_number_of_classes_gets_a_new_head_and_the_old_body(file):
    path, tensors = file
    found = load(path, rows(5)).torch().state_dict()
    assert found["head.weight"].shape[0] == 5
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items() if "head" not in name)
    with pytest.raises(UsageError, match="head='new'"):
        load(path, rows(5), head="keep")


def test_a_new_head_is_a_function_of_the_seed(file):
    first, again, other = (load(file[0], head="new", seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert not torch.equal(first.torch().head.weight, file[1]["head.weight"])


def test_grey_pictures_see_what_three_equal_channels_would(file):
    grey = load(file[0], rows(channels=1)).torch()
    assert torch.allclose(grey.conv1.weight, file[1]["conv1.weight"].sum(1, keepdim=True))


def test_without_it_the_net_is_random_of_the_same_seed(file):
    assert signature.of("steps", "pretrain.load").removal() == {"weights": None}
    one, two = (
        li.pretrain.load(rows(), net="cifar_resnet", net_options={"depth": 8}, weights=None) for _ in range(2)
    )
    assert one.digest == two.digest != load(file[0]).digest


def test_the_call_is_keyed_on_the_content_of_the_file(file, tmp_path):
    path, tensors = file
    with li.opened(tmp_path / ".lichen"):
        first = load(path)
        copy = tmp_path / "copy.safetensors"
        copy.write_bytes(path.read_bytes())
        assert load(copy, head="new").digest != first.digest
        changed = {name: tensor + 1.0 for name, tensor in tensors.items() if "num_batches" not in name}
        save_file(changed, path)
        assert load(path).digest != first.digest


def test_weights_of_another_net_are_refused(file):
    with pytest.raises(UsageError, match="another net"):
        li.pretrain.load(rows(), net="resnet20", weights=str(file[0]))
    with pytest.raises(UsageError, match="no tensor"):
        li.pretrain.load(rows(), net="resnet10", net_options={"width": 8}, weights=str(file[0]))


@pytest.mark.parametrize(
    ("net", "more", "less"),
    [("cifar_resnet", {"depth": 14}, {"depth": 8}), ("mlp", {"depth": 4}, {"depth": 2})],
)
def test_weights_of_a_deeper_net_are_refused(tmp_path, net, more, less):
    """Every tensor that the shallow one wants is there; what is left over would be lost unsaid."""
    save_file(architecture.build(net, more, (3, 8, 8), 3).state_dict(), tmp_path / "deep.safetensors")
    with pytest.raises(UsageError, match="no place for the weights' tensor"):
        li.pretrain.load(rows(), net=net, net_options=less, weights=str(tmp_path / "deep.safetensors"))


def test_parts_that_the_net_does_not_have_may_stay_unused(file, tmp_path):
    tensors = {name: tensor for name, tensor in file[1].items() if not name.startswith("head.")}
    others = {"pooler.dense.weight": torch.ones(2, 2), "aux.fc.bias": torch.ones(2)}
    heads = {"fc.weight": torch.ones(3, 64), "fc.bias": torch.ones(3), "head.other.weight": torch.ones(2)}
    save_file({**tensors, **others, **heads}, tmp_path / "more.safetensors")
    found = load(tmp_path / "more.safetensors").torch().state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert torch.equal(found["head.weight"], heads["fc.weight"])


def test_a_pickle_is_never_opened(tmp_path):
    planted = tmp_path / "planted"

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (planted,))

    torch.save({"conv1.weight": Bomb()}, tmp_path / "weights.pth")
    with pytest.raises(UnsafeInputError, match="safetensors"):
        load(tmp_path / "weights.pth")
    assert not planted.exists()


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(DataError, match="safetensors"):
        load(tmp_path / "weights.safetensors")


def test_tensors_match_by_order_where_the_names_are_anothers():
    module = architecture.build("cifar_resnet", {"depth": 8}, (3, 8, 8), 3)
    foreign = {f"t{place}": tensor for place, tensor in enumerate(
        tensor for name, tensor in module.state_dict().items() if "num_batches" not in name)}  # fmt: skip
    found = pretrained.matched(foreign, module)
    assert all(torch.equal(tensor, module.state_dict()[name]) for name, tensor in found.items())
    assert len(found) == len(foreign)


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("net, accuracy", [("resnet20", 91.73), pytest.param("resnet56", 93.39, marks=FULL)])
def test_published_weights_score_what_their_authors_published(net, accuracy):
    """The authors' table says 8.27 and 6.61 % errors on CIFAR-10's whole test split."""
    data = li.load("cifar10")
    model = li.pretrain.load(data, net=net, weights=f"pretrained/cifar_resnet/{net}.safetensors")
    scores = li.evaluate(model, data, split="test")
    assert scores.num_rows == 10_000 and abs(100 * scores.value - accuracy) < 0.1
