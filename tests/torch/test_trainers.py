"""The training loops of others, watched: the real libraries, where they are there."""

import pytest
from torch_required import torch

import sharpkit

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries' own


def data():
    torch.manual_seed(0)
    return torch.randn(64, 6), torch.arange(64) % 3


@pytest.fixture
def fit(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(6, 8),
                nn.BatchNorm1d(8),
                nn.Tanh(),
                nn.Dropout(0.2),
                nn.Linear(8, 3),
            )

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    def run(*callbacks, **options):
        torch.manual_seed(1)
        module = Module()
        samples = torch.utils.data.TensorDataset(*data())
        loader = torch.utils.data.DataLoader(samples, batch_size=16, shuffle=True)
        trainer = lightning.Trainer(
            max_epochs=3,
            callbacks=list(callbacks),
            logger=False,
            accelerator="cpu",
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            **options,
        )
        trainer.fit(module, loader)
        return module

    return run


# All that a trainer hands over at every step; the box, which is dear, now and then.
EVERY = dict.fromkeys(
    ("loss", "update_norm", "critical_sharpness", "preconditioned_lambda_max"), 1
) | {"sharpness": 6}


@pytest.mark.parametrize("accumulated", [1, 2])
def test_lightning(fit, tmp_path, accumulated):
    path = tmp_path / "run.jsonl"
    callback = sharpkit.torch.lightning_callback(
        nn.CrossEntropyLoss(), data(), path=path, measures=EVERY, budget=None
    )
    options = {"accumulate_grad_batches": accumulated}
    without, watched = fit(**options), fit(callback, **options)
    for a, b in zip(without.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
    log = sharpkit.read_monitor(path)
    assert log.closed
    steps = 12 // accumulated
    assert log.curve("loss").steps.tolist() == list(range(steps))
    assert log.curve("critical_sharpness").steps.tolist() == list(range(steps))
    assert log.curve("preconditioned_lambda_max").thresholds[-1] > 0
    assert {row.status for row in log.rows} <= {"ok", "converged", "budget"}
    assert callback.monitor.steps == steps


def test_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    def made():
        torch.manual_seed(1)
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=11,
                n_positions=8,
                n_embd=8,
                n_layer=1,
                n_head=1,
                bos_token_id=0,
                eos_token_id=0,
            )
        )

    tokens = (torch.arange(16)[:, None] + torch.arange(8)) % 11
    samples = [{"input_ids": row, "labels": row} for row in tokens]
    path = tmp_path / "run.jsonl"
    probe = [{"input_ids": tokens, "labels": tokens}]

    def loss(model, batch):
        return model(**batch).loss

    def fit(*callbacks):
        model = made()
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=4,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            seed=3,
        )
        transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=samples,
            callbacks=list(callbacks),
        ).train()
        return model

    callback = sharpkit.torch.transformers_callback(
        loss,
        probe,
        loss_takes="model",
        path=path,
        budget=None,
        measures=["loss", "critical_sharpness", "preconditioned_lambda_max"],
    )
    without, watched = fit(), fit(callback)
    for a, b in zip(without.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
    log = sharpkit.read_monitor(path)
    assert log.closed
    assert log.curve("loss").steps.tolist() == [0, 1, 2, 3]
    assert log.curve("preconditioned_lambda_max").steps.tolist() == [1, 2, 3]
    assert log.heads[0]["settings"]["optimizer"]["name"] == "AdamW"
    assert [row for row in log.rows if row.status == "failed"] == []
