"""Tests for distributed fine-tuning: the same loss curve as one process, and stop requests."""

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support.child_processes import children_with
from support.runs import execute_run, resume_run
from support.training_fixtures import TINY, tiny_order, tuned

from glan_core import runs
from glan_core.cli import main
from glan_core.models import tuned_model_store
from glan_core.resources import CHECKOUT
from glan_core.training import ray_training
from glan_core.training.command_line import finetune_command
from glan_core.training.distributed import DONE, torchrun_lines
from glan_core.training.settings import FinetuneSettings
from glan_core.training.trainer import FilledRows, LengthBuckets, LogCallback
from glan_core.workspace import training_rows

pytest_plugins = ["support.training_fixtures"]
STEADY = {"per_device_batch_size": 2, "schedule": "constant", "warmup_ratio": 0.0}  # independent of the length of the run


def losses(ws, run_id: int) -> list[float]:
    return [step.loss for step in training_rows.steps(ws.db, run_id) if step.loss is not None]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_until_a_wish_ends_both(taught):
    alone = losses(taught, tuned(taught, "alone", epochs=1, **STEADY).run_id)
    run_id = runs.submit(taught, "finetune", "test", tiny_order("together", epochs=100, processes=2, **STEADY))

    def watch(sample, stages, notes) -> None:
        if (
            any(stage.stage == "steps" and stage.done >= len(alone) for stage in stages)
            and runs.get(taught, run_id).wish is None
        ):
            runs.keep(taught, run_id)

    run = runs.work(taught, run_id, watch)
    assert run.state == "finished" and "ended early" in run.message, run.message
    assert losses(taught, run_id)[: len(alone)] == pytest.approx(alone, abs=1e-4)
    together = tuned_model_store.read_model(taught, "together")
    files = {file.name for file in together.weights(taught).iterdir()}
    assert {"model.safetensors", "tokenizer.json"} <= files and "training_args.bin" not in files


def curve(ws, run_id: int) -> list[tuple]:
    return [(step.step, step.tokens, step.loss, step.validation_loss) for step in training_rows.steps(ws.db, run_id)]


def work_until_paused(ws, run_id: int):
    """Execute a run that is asked to pause after its second step."""

    def watch(sample, stages, notes) -> None:
        if any(stage.stage == "steps" and stage.done >= 2 for stage in stages) and runs.get(ws, run_id).wish is None:
            runs.pause(ws, run_id)

    return runs.work(ws, run_id, watch)


def assert_same_curve(one: list[tuple], other: list[tuple], within: float = 1e-4) -> None:
    """Steps and tokens, and so the rows, are the same; losses within a tolerance."""
    assert [row[:2] for row in one] == [row[:2] for row in other]
    for mine, theirs in zip(one, other, strict=True):
        assert mine[2:] == pytest.approx(theirs[2:], abs=within), (mine, theirs)


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one_over_epochs_that_do_not_divide(taught):
    """The global batch of 6 pairs is one batch of one process, and 3 pairs on each of two; the last step of an epoch is smaller."""
    same = {"epochs": 2.5, "global_batch_size": 6, "per_device_batch_size": 6, "evaluations": 3, "precision": "fp32"}
    alone = tuned(taught, "one-process", **same)
    assert alone.rows % 6, "every step is whole"
    both = tuned(taught, "two-processes", processes=2, **same)
    assert both.steps == alone.steps and both.tokens == alone.tokens
    assert_same_curve(curve(taught, alone.run_id), curve(taught, both.run_id))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adapter", "packed"])
def test_two_processes_have_the_loss_curve_of_one_with_an_adapter_and_with_packing(taught, base, kind):
    values = {"base": str(base), "method": "lora", "lora_rank": 4, "global_batch_size": 6} if kind == "adapter" else {
        "packing": True, "global_batch_size": 2,
    }  # fmt: skip
    same = {"epochs": 1.5, "per_device_batch_size": 1, "evaluations": 2, **values}
    alone, both = tuned(taught, f"{kind}-alone", **same), tuned(taught, f"{kind}-both", processes=2, **same)
    assert_same_curve(curve(taught, alone.run_id), curve(taught, both.run_id))


@pytest.mark.slow
def test_two_processes_resume_on_the_curve_of_one(taught):
    same = {"epochs": 1.5, "global_batch_size": 6, "per_device_batch_size": 3, "evaluations": 2, "precision": "fp32"}
    alone = tuned(taught, "not-stopped", **same)
    run_id = runs.submit(taught, "finetune", "test", tiny_order("stopped", processes=2, **same))

    assert work_until_paused(taught, run_id).state == "paused"
    assert resume_run(taught, run_id).state == "finished"
    assert_same_curve(curve(taught, alone.run_id), curve(taught, run_id))


@pytest.mark.slow
def test_a_bundle_is_trained_by_two_processes(taught, tmp_path, capsys):
    out = tmp_path / "bundle"
    small = [word for name in type(TINY).model_fields for word in (f"--{name}", str(getattr(TINY, name)))]
    words = [
        "--snapshot",
        "first",
        "--name",
        "both-bundle",
        "--epochs",
        "1",
        "--global-batch-size",
        "4",
        "--max-length",
        "384",
        *small,
    ]
    assert main(["bundle", str(taught.folder), *words, "--evaluations", "1", "--out", str(out)]) == 0
    assert main(["train-bundle", str(out), "--processes", "2", "--precision", "fp32"]) == 0
    assert main(["models", str(taught.folder), "import", str(out)]) == 0
    model = tuned_model_store.read_model(taught, "both-bundle")
    assert model.settings["processes"] == 2 and curve(taught, model.run_id)


@pytest.mark.slow
def test_two_nodes_have_the_loss_curve_of_one_process(taught):
    """Two nodes on this machine; the second one joins with the same command and its rank, and does not open the database."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    alone = tuned(taught, "one-node", epochs=1, **STEADY)
    words = [sys.executable, "-m", "glan_core", "finetune", str(taught.folder), "--snapshot", "first", "--name", "two-nodes"]
    joined = subprocess.Popen(
        [*words, "--nodes", "2", "--main-address", address, "--node-rank", "1"], env=os.environ | {"PYTHONPATH": str(CHECKOUT)}
    )  # fmt: skip
    try:
        both = tuned(taught, "two-nodes", epochs=1, nodes=2, main_address=address, **STEADY)
        assert joined.wait(60) == 0
    finally:
        joined.kill()
    assert_same_curve(curve(taught, alone.run_id), curve(taught, both.run_id))


def test_a_resumed_epoch_has_its_own_order():
    """Several processes that resume within an epoch, where transformers does not tell the sampler which one it is."""
    log = LogCallback(None, None, None, (), None)
    log.trainer = SimpleNamespace(order=LengthBuckets([5] * 20, 2, 4, 3, 4))
    for epoch, number in ((None, 0), (1.25, 1), (1.9999999999, 2), (2.0, 2)):
        log.on_epoch_begin(None, SimpleNamespace(epoch=epoch), None)
        assert log.trainer.order.epoch == number


def test_every_process_that_resumes_knows_when_the_loss_got_worse():
    """Otherwise the first one would stop early alone, and the others wait for it."""
    log = LogCallback(None, None, None, (), 2)
    logged = [{"loss": 3.0}, {"eval_loss": 2.0}, {"eval_loss": 2.5}]
    log.on_train_begin(None, SimpleNamespace(is_world_process_zero=False, log_history=logged), None)
    control = SimpleNamespace(should_training_stop=False)
    log.on_evaluate(None, SimpleNamespace(is_world_process_zero=False), control, {"eval_loss": 2.25})
    assert control.should_training_stop


@pytest.mark.parametrize(("reported", "waits"), [(None, False), (1e9 - 599, True), (1e9 - 601, True)])
def test_a_stop_request_ends_the_wait_for_workers_that_the_cluster_has_no_room_for(tmp_path, monkeypatch, reported, waits):
    now = [1e9]
    monkeypatch.setattr(ray_training.time, "time", lambda: now[0])
    run = SimpleNamespace(folder=tmp_path, progress=SimpleNamespace(wish=None))
    answering = ray_training._answering(run)
    assert answering(), "ended without a request"
    if reported:
        (tmp_path / DONE).write_text("[]")
        os.utime(tmp_path / DONE, (reported, reported))
    run.progress.wish = "paused"
    assert answering() is waits
    now[0] += ray_training.SILENCE_SECONDS
    assert not answering(), "silent workers are waited for without end"


@pytest.mark.parametrize("together", [1, 4, 6, 16])
def test_every_number_of_processes_reads_the_same_rows_in_every_step(together):
    lengths = [17 * n % 31 + 4 for n in range(53)]
    order, one = LengthBuckets(lengths, 4, 8, 3, together), list(LengthBuckets(lengths, 4, 8, 3))
    read = list(order)
    assert read[:53] == one and len(read) == len(order) and len(read) % together == 0 and set(read[53:]) <= {53}
    rows = FilledRows([{"input_ids": [n], "labels": [n]} for n in range(53)])
    assert len(rows) == 53 and [rows[n]["labels"] for n in read[:53]] == [[n] for n in one]
    assert rows[53] == {"input_ids": [0], "labels": [-100]}


def test_the_plan_prints_the_torchrun_command_and_what_cannot_be_divided_is_refused(taught, capsys):
    words = ["finetune", str(taught.folder), "--snapshot", "first", "--name", "planned", "--plan", "--global-batch-size", "8"]
    assert main([*words, "--processes", "2"]) == 0
    module = f"-m glan_core.training.distributed {taught.folder}"
    assert f"torchrun --standalone --nproc-per-node=2 {module} RUN\n" in capsys.readouterr().out
    assert main([*words, "--processes", "2", "--nodes", "2", "--main-address", "10.0.0.1:29500"]) == 0
    out = capsys.readouterr().out
    for rank, run in ((0, "RUN"), (1, "0")):
        place = f"--nnodes=2 --node-rank={rank} --master-addr=10.0.0.1 --master-port=29500"
        assert f"torchrun, machine {rank}: torchrun {place} --nproc-per-node=2 {module} {run}\n" in out
    for given, told in (
        (("--processes", "3"), "cannot be divided over 3 processes"), (("--nodes", "2"), "need a main address"),
        (("--nodes", "2", "--main-address", "host"), "HOST:PORT"), (("--node-rank", "1"), "is not between"),
    ):  # fmt: skip
        assert main([*words, *given]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("values", [{"precision": "bf16"}, {"gradient_checkpointing": True}], ids=["bf16", "checkpointing"])
def test_two_processes_train_in_bf16_and_with_checkpointing(taught, capfd, values):
    """Over gloo; sharding (FSDP) needs GPUs, and its setting says that it is not tested."""
    from transformers import AutoModelForCausalLM

    name = "-".join(values).replace("_", "-")
    alone = losses(taught, tuned(taught, f"{name}-alone", epochs=1, **STEADY, **values).run_id)
    both = tuned(taught, f"{name}-both", epochs=1, processes=2, **STEADY, **values)
    assert "2 processes, MULTI_CPU." in capfd.readouterr().out
    assert losses(taught, both.run_id) == pytest.approx(alone, **({"rel": 0.02} if values.get("precision") else {"abs": 1e-4}))
    assert both.precision == values.get("precision", "fp32")
    loaded = AutoModelForCausalLM.from_pretrained(both.weights(taught))
    assert sum(parameter.numel() for parameter in loaded.parameters()) == both.parameters


def test_what_was_never_run_says_so_where_it_is_chosen():
    for name in ("method", "processes", "precision"):
        assert "not tested on this hardware" in FinetuneSettings.model_fields[name].description, name


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_of_ray_train_have_the_loss_curve_of_one_process_and_resume_on_it(taught):
    pytest.importorskip("ray")
    same = {"epochs": 3.5, "global_batch_size": 6, "per_device_batch_size": 3, "evaluations": 2, "precision": "fp32"}
    alone = tuned(taught, "alone-of-ray", **same)
    run_id = runs.submit(taught, "finetune", "test", tiny_order("both-on-ray", processes=2, engine="ray", **same))

    run = work_until_paused(taught, run_id)
    assert run.state == "paused", run.message
    run = resume_run(taught, run_id)
    assert run.state == "finished", run.message
    assert_same_curve(curve(taught, alone.run_id), curve(taught, run_id), 1e-5)
    both = tuned_model_store.read_model(taught, "both-on-ray")
    assert (both.steps, both.tokens, both.rows) == (alone.steps, alone.tokens, alone.rows)


@pytest.mark.slow
@pytest.mark.ray
def test_a_worker_of_ray_train_that_is_killed_costs_time_only(taught):
    pytest.importorskip("ray")
    same = {"epochs": 3.5, "global_batch_size": 6, "per_device_batch_size": 3, "evaluations": 5, "precision": "fp32"}
    alone = tuned(taught, "alone-of-killed", **same)
    run_id = runs.submit(taught, "finetune", "test", tiny_order("killed-on-ray", processes=2, engine="ray", **same))
    killed: list[int] = []

    def watch(sample, stages, notes) -> None:
        workers = children_with("RayTrainWorker")
        if workers and not killed and any(stage.stage == "steps" and stage.done >= 2 for stage in stages):
            killed.append(workers[0].pid)
            workers[0].kill()

    run = runs.work(taught, run_id, watch)
    assert run.state == "finished" and killed, run.message
    assert_same_curve(curve(taught, alone.run_id), curve(taught, run_id), 1e-5)


@pytest.mark.slow
@pytest.mark.ray
def test_an_error_of_a_worker_of_ray_train_is_one_sentence(taught):
    pytest.importorskip("ray")
    run = execute_run(taught, tiny_order("nothing-fits", processes=2, engine="ray", max_length=16), kind="finetune")
    assert run.state == "failed" and "16 tokens" in run.message and "\n" not in run.message


@pytest.mark.parametrize(("given", "told"), [
    (("--nodes", "2", "--main-address", "10.0.0.1:29500"), "Ray places the processes"),
    (("--ray-address", "ray://10.0.0.1:10001"), "node of the cluster"),
])  # fmt: skip
def test_what_ray_train_cannot_do_is_refused(taught, capsys, given, told):
    pytest.importorskip("ray")
    words = [
        "finetune",
        str(taught.folder),
        "--snapshot",
        "first",
        "--name",
        "on-ray",
        "--global-batch-size",
        "8",
        "--engine",
        "ray",
    ]
    assert main([*words, "--processes", "2", *given]) == 2
    assert told in capsys.readouterr().err


def test_the_command_of_a_run_on_ray_names_its_cluster(taught):
    settings = FinetuneSettings(**tiny_order("on-ray", processes=2, engine="ray", ray_address="auto"))
    words = finetune_command("ws", settings)
    assert words[words.index("--engine") + 1] == "ray" and words[words.index("--ray-address") + 1] == "auto"
    assert torchrun_lines("ws", settings) == []
