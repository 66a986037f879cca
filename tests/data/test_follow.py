"""Boxes and masks are where their object is after every move, drawn on real photographs."""

import os

import numpy as np
import pytest
import torch

from lichen.core.errors import UsageError
from lichen.data import augment, draws, follow, warp, wide

MOVING = {
    "classic": ["flip", "crop", "shift", "rotate", "zoom", "shear"],
    "copies": ["flip", "crop"],
    "trivialaugment": ["trivialaugment", "flip"],
    "randaugment": [{"randaugment": 0.3}, "cutout"],
}
ROWS, SIDE = 200, 64


def policy_of(ops):
    usual = {name: number for name, (number, _, _) in augment.OPERATIONS.items()}
    return augment.policy_of([op if isinstance(op, dict) else {op: usual[op]} for op in ops])


def uniforms(policy, num_rows=ROWS):
    numbers = torch.tensor(augment.numbers(policy), dtype=torch.int64)
    return draws.uniforms(torch.arange(num_rows) * 7919, numbers, seed=3, epoch=0).float()


def objects(num_rows=ROWS):
    """Upright rectangles somewhere in the middle, so that most stay in sight: boxes and masks."""
    generator = np.random.default_rng(1)
    corners = np.sort(generator.integers(14, 50, (num_rows, 2, 2)), axis=1)
    corners[:, 1] += 6
    boxes = torch.from_numpy(corners.reshape(num_rows, 1, 4)).float()
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    left, top, right, bottom = (boxes[:, 0, place, None, None] for place in range(4))
    return boxes, ((x > left) & (x < right) & (y > top) & (y < bottom))[:, None]


def iou(one, other):
    """Of masks (B, 1, H, W)."""
    return (one & other).sum((1, 2, 3)) / (one | other).sum((1, 2, 3)).clamp(min=1)


def box_iou(one, other):
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    return both / ((one[:, 2:] - one[:, :2]).prod(1) + (other[:, 2:] - other[:, :2]).prod(1) - both)


@pytest.mark.parametrize("name", MOVING)
def test_masks_and_boxes_are_where_the_painted_object_is(name):
    """The object is the lit part of an else dark picture; curves and colours of a policy are left out."""
    policy = policy_of(MOVING[name])
    boxes, masks = objects()
    painted = masks.float() * 255.0
    for place in augment.places(policy, (SIDE, SIDE), uniforms(policy)):
        painted = warp.sampled(painted, place, beyond="zeros")
    seen = painted > 127
    followed = follow.masks(policy, masks, uniforms(policy))
    is_seen = seen.sum((1, 2, 3)) >= 25
    assert is_seen.sum() > 150
    assert iou(followed, seen)[is_seen].min() >= 0.9
    found = follow.boxes(policy, boxes, (SIDE, SIDE), uniforms(policy))[:, 0]
    overlaps = box_iou(found, follow.around(seen)[:, 0])[is_seen]
    assert overlaps.mean() >= 0.9 and overlaps.quantile(0.05) >= 0.8
    # Planted: what stays where it was is not where the object is.
    assert iou(masks, seen)[is_seen].mean() < 0.75


def test_the_pixels_themselves_move_as_the_masks_do():
    """Without reflections in sight, `augment.apply` on the picture of a mask is the mask that followed."""
    policy = policy_of([{"rotate": 40}, {"shift": 0.1}, {"flip": 0.5}])
    _, masks = objects()
    masks[:, :, :16] = masks[:, :, -16:] = masks[..., :16] = masks[..., -16:] = False
    pixels = augment.apply(policy, masks.to(torch.uint8) * 255, uniforms(policy))
    followed = follow.masks(policy, masks, uniforms(policy))
    has_pixels = masks.sum((1, 2, 3)) > 0
    assert iou(followed, pixels > 127)[has_pixels].min() > 0.95


def test_outlines_of_real_objects_are_where_their_corners_went():
    """200 draws of COCO outlines: the mask that followed is the outline drawn through moved corners."""
    draw, image = pytest.importorskip("PIL.ImageDraw"), pytest.importorskip("PIL.Image")
    pq, data = pytest.importorskip("pyarrow.parquet"), os.environ.get("LICHEN_DATA")
    if data is None:
        pytest.skip("LICHEN_DATA is not set")

    side = 128

    def drawn(corners):
        picture = image.new("1", (side, side))
        draw.Draw(picture).polygon([(x - 0.5, y - 0.5) for x, y in corners], fill=1)
        return torch.from_numpy(np.array(picture))

    texts = pq.read_table(f"{data}/coco50/train.parquet")["instance_polygons_yolo"].to_pylist()
    lines = [text.splitlines()[0] for text in texts if text]
    outlines = [np.array(line.split()[1:], float).reshape(-1, 2) for line in lines]
    # In the middle half, so that nothing leaves; large and full enough that the edge is not all there is.
    outlines = [0.25 * side + 0.5 * side * one for one in outlines if np.ptp(one, 0).min() > 0.3]
    outlines = [one for one in outlines if drawn(one).sum() > 0.4 * np.ptp(one, 0).prod()]
    policy = policy_of([{"rotate": 30}, {"zoom": 0.2}, {"shift": 0.05}, {"flip": 0.5}])
    drawn_numbers, masks = uniforms(policy), [drawn(one) for one in outlines]
    chosen = [outlines[row % len(outlines)] for row in range(ROWS)]
    followed = follow.masks(
        policy, torch.stack([masks[row % len(masks)] for row in range(ROWS)])[:, None], drawn_numbers
    )
    overlaps = []
    for row, outline in enumerate(chosen):
        points = torch.from_numpy(np.concatenate([outline, outline], 1))[None].float()
        moved = follow.boxes(policy, points, (side, side), drawn_numbers[row : row + 1])[0, :, :2]
        wanted = drawn(moved.tolist())[None, None]
        overlaps.append(iou(followed[row : row + 1], wanted).item())
        box = follow.boxes(policy, follow.around(masks[row % len(masks)][None, None]), (side, side),
                           drawn_numbers[row : row + 1])[0, 0]  # fmt: skip
        tight = follow.around(followed[row : row + 1])[0, 0]
        assert (box[:2] <= tight[:2] + 1).all() and (box[2:] >= tight[2:] - 1).all()
    assert len(outlines) > 10 and np.mean(overlaps) >= 0.9


def test_what_lays_pictures_over_one_another_is_refused():
    _, masks = objects()
    for op in follow.BLENDS:
        policy = policy_of([op])
        with pytest.raises(UsageError, match=f"cannot follow `{op}`"):
            follow.masks(policy, masks, uniforms(policy))


def test_an_object_that_leaves_has_no_area_and_an_empty_mask_no_box():
    boxes, masks = objects(4)
    policy = policy_of([{"shift": 1.0}])
    far = torch.ones(4, 2)
    moved = follow.boxes(policy, boxes, (SIDE, SIDE), far)
    area = (moved[..., 2:] - moved[..., :2]).prod(2)
    assert (area == 0).all() and not follow.masks(policy, masks, far).any()
    assert torch.equal(follow.around(follow.masks(policy, masks, far)), torch.zeros(4, 1, 4))
    assert wide.place(torch.zeros(3, dtype=torch.int64), torch.ones(3)).equal(warp.identity(3, far.device))
