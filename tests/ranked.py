"""ranked: a training that one process does alone or two share, importable by a new process."""

import torch
from quiet import Quiet
from torch import distributed, nn

from lichen.data.batches import Batch
from lichen.engine.fit import Settings, fit
from lichen.engine.modules import architecture
from lichen.engine.training.ranks import ranks

STEPS, ROWS = 4, 15


class Shared:
    """Every world-th row of each batch; 15 rows do not divide by two."""

    batch_size, steps_per_epoch = ROWS, STEPS

    def epoch(self, number, start=0):
        rank, world = ranks()
        generator = torch.Generator().manual_seed(number)
        for _ in range(STEPS):
            x = torch.randint(0, 256, (ROWS, 1, 4, 4), generator=generator)
            y = torch.randint(0, 3, (ROWS,), generator=generator)
            yield Batch(x[rank::world], y[rank::world], torch.arange(ROWS)[rank::world])


def objective(module, x, y):
    return nn.functional.cross_entropy(module(x.float() / 255), y, reduction="none")


def trained():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = architecture.build("mlp", {"width": 8, "depth": 1}, (1, 4, 4), 3)
    history = fit(module, Shared(), Settings(epochs=2, rate=0.1), objective=objective, run=Quiet())
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()]), history


def work(rank, port, results):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    weights, history = trained()
    results.put((rank, weights.tolist(), history))
    distributed.barrier()
    distributed.destroy_process_group()
