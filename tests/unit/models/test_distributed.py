"""Two processes against one: the same gradients, the same weights, one of them writing."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.train.cached import backward
from models.train.config import LossConfig
from models.train.distributed import World, is_main, joined
from models.train.task import ContrastiveTask

ALONE = World(0, 1, torch.device("cpu"))
STEPS = """
import torch
from batches import noise, vit_model
from safetensors.torch import save_file
from torch import nn
from models.train.cached import backward
from models.train.config import LossConfig
from models.train.distributed import joined
from models.train.state import model_tensors
from models.train.task import ContrastiveTask

with joined("cpu") as world:
    for chunk_size in (None, 2):
        model = vit_model(FOLDER / str(world.rank), seed=world.rank).train()
        world.align(model.state_dict().values())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        task = ContrastiveTask(model, LossConfig())
        for step in range(3):
            optimizer.zero_grad()
            losses = backward(task, noise(7, step), world, chunk_size)
            if step == 0:
                grads = {name: p.grad.contiguous().clone() for name, p in model.named_parameters()}
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        grads["total"] = losses.total.detach()
        save_file(grads, FOLDER / f"grads-{chunk_size}-{world.rank}")
        save_file(model_tensors(model), FOLDER / f"weights-{chunk_size}-{world.rank}")
    assert world.share("first" if world.main else None) == "first"
"""


@pytest.fixture
def batches(support):
    return support("batches")


def alone(batches, folder):
    model = batches.vit_model(folder).train()
    optimizer, task = torch.optim.SGD(model.parameters(), lr=0.1), ContrastiveTask(model, LossConfig())
    grads = {}
    for step in range(3):
        optimizer.zero_grad()
        losses = backward(task, batches.noise(7, step), ALONE)
        grads = grads or {name: p.grad.clone() for name, p in model.named_parameters()}
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return grads, model.state_dict(), float(losses.total)


def test_two_processes_have_the_gradient_and_the_weights_of_one(batches, support, tmp_path):
    """Seven rows, so three and four of them, also in chunks; different first weights, so they must be aligned."""
    for rank in "01":
        (tmp_path / rank).mkdir()
    support("split").run_shared(STEPS, tmp_path)
    grads, weights, total = alone(batches, tmp_path)
    for chunk_size, rank in itertools.product((None, 2), (0, 1)):
        shared = load_file(tmp_path / f"grads-{chunk_size}-{rank}")
        assert float(shared.pop("total")) == pytest.approx(total, abs=1e-4)
        for name, grad in grads.items():
            torch.testing.assert_close(shared[name], grad, atol=1e-5, rtol=1e-4)
        for name, value in load_file(tmp_path / f"weights-{chunk_size}-{rank}").items():
            torch.testing.assert_close(value, weights[name], atol=1e-5, rtol=1e-4)
    for chunk_size in (None, 2):
        first, second = (load_file(tmp_path / f"weights-{chunk_size}-{rank}") for rank in (0, 1))
        assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(("count", "size"), [(7, 2), (8, 3), (3, 3), (5, 1)])
def test_rows_of_all_processes_are_the_batch(count, size):
    worlds = [World(rank, size, torch.device("cpu")) for rank in range(size)]
    assert [row for world in worlds for row in range(count)[world.rows(count)]] == list(range(count))
    sizes = worlds[0].sizes(count)
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1


def test_one_process_is_left_as_it_is(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert (world.rank, world.size, world.main) == (0, 1, True)
        rows = torch.ones(3, 2, requires_grad=True)
        assert world.gather(rows, 3) is rows
        assert world.share(5) == 5
        weight = torch.nn.Parameter(torch.ones(2))
        weight.grad = torch.tensor([1.0, 2.0])
        world.average_gradients([weight])
        world.align([weight])
        world.wait()
    assert weight.grad.tolist() == [1.0, 2.0]
    assert not torch.distributed.is_initialized()


def test_the_first_process_speaks(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert is_main()
    monkeypatch.setenv("RANK", "1")
    assert not is_main()


@pytest.mark.slow
def test_torchrun_trains_resumes_and_writes_one_checkpoint(batches, support, tmp_path):
    """Three epochs shared by two processes, and the same run killed under way and resumed, and one process alone."""
    tiny, split = support("tiny"), support("split")
    shop = tiny.write_shop(tmp_path / "shop", train=24, val=12, test=2)
    (tmp_path / "c.toml").write_text(
        f'name = "t"\nbackbone = "{batches.vit_folder(tmp_path)}"\n'
        '[entities]\ngroups = ["brand"]\nhidden_dim = 8\nembedding_dim = 6\n'
        "[optim]\nepochs = 3\nbatch_size = 9\nlr = 0.003\nchunk_size = 3\n"
        '[run]\ndevice = "cpu"\nweights = "float32"\nsave_every_steps = 1\n'
        f'[data]\ncache_dir = "{tmp_path / "cache"}"\n'
    )

    def start(name, processes, *more):
        torchrun = ["torch.distributed.run", "--standalone", "--local_addr", "127.0.0.1", "--nproc_per_node", "2", "-m"]
        command = [sys.executable, "-m", *(torchrun if processes == 2 else []), "models", "train"]
        command += ["--config", str(tmp_path / "c.toml"), "--catalogue", str(shop), "--out", str(tmp_path / name)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*command, *more], env=split.environment(), text=True, **pipes)

    def finish(process):
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return out, errors

    out, errors = finish(start("shared", 2))
    assert out.count("fingerprint") == 1
    assert errors.count("epoch 3/3") == 1
    killed = start("killed", 2)
    kill_a_worker(killed, tmp_path / "killed" / "run" / "state.safetensors")
    killed.communicate(timeout=300)
    assert killed.returncode != 0
    finish(start("killed", 2, "--resume"))
    finish(start("alone", 1))
    shared, resumed, single = (
        load_file(tmp_path / name / "model.safetensors") for name in ("shared", "killed", "alone")
    )
    assert [name for name, value in shared.items() if not torch.equal(value, resumed[name])] == []
    for name, value in single.items():
        if not name.endswith("bias"):  # AdamW makes whole steps of a gradient that is zero but for rounding
            torch.testing.assert_close(shared[name], value, atol=2e-3, rtol=0.01)


def kill_a_worker(torchrun, state):
    """SIGKILL the second of torchrun's processes once the first has saved a state; torchrun then ends both."""
    deadline = time.monotonic() + 200
    while not state.exists():
        assert torchrun.poll() is None, torchrun.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
