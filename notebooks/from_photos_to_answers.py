# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: -all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From photos to answers
#
# This notebook goes from a folder of labelled photos to an answer of the running gateway. It checks the data, trains
# and evaluates a model, compares it with the model that serves now, and puts it into service. Each step is a command of
# `python -m training`, called here as a function.
#
# First run it unchanged: it draws its own pictures and takes about a minute. Then set `PHOTOS` to your own folder.
# All output goes to a temporary folder unless you name other folders with these environment variables:
#
# | variable | default | meaning |
# |---|---|---|
# | `GATEWAY_URL` | `http://localhost:8080` | URL of the gateway |
# | `SPECIMEN_API_KEY` | none | API key, if that gateway requires one |
# | `PHOTOS` | drawn shapes | folder of labelled photos, one folder per class |
# | `RUNS_DIR` | temporary | folder for training runs |
# | `MODELS_DIR` | temporary | folder of served models. If it is the gateway's own folder, the model goes into service |
# | `MODEL_NAME` | `my_model` | name of the model in that folder |

# %%
import os
import sys
import tempfile
from pathlib import Path

if (Path.cwd().parent / "training").is_dir():  # started in notebooks/ of a checkout
    sys.path.insert(0, str(Path.cwd().parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

GATEWAY_URL = os.environ.get("GATEWAY_URL", "http://localhost:8080")
SCRATCH = Path(tempfile.mkdtemp(prefix="specimen-"))
PHOTOS = Path(os.environ["PHOTOS"]) if "PHOTOS" in os.environ else SCRATCH / "photos"
RUNS = Path(os.environ.get("RUNS_DIR", SCRATCH / "runs"))
BASE = Path(os.environ.get("MODELS_DIR", SCRATCH / "models")) / os.environ.get("MODEL_NAME", "my_model")
SERVES = "MODELS_DIR" in os.environ

# %% [markdown]
# ## The data
#
# One folder per class, which contains its photos. Without `PHOTOS`, the next cell draws pictures.

# %%
import numpy as np
from PIL import Image, ImageDraw

SHAPES = {"disc": 40, "square": 4, "triangle": 3}  # corners; a disc has many

if "PHOTOS" not in os.environ:
    chance = np.random.default_rng(1)
    for shape, corners in SHAPES.items():
        (PHOTOS / shape).mkdir(parents=True)
        for number in range(30):
            ground = Image.effect_noise((240, 240), 60).convert("RGB")
            colour, (x, y, radius, turn) = (
                chance.integers(0, 256, 3),
                chance.integers((80, 80, 40, 0), (160, 160, 70, 360)),
            )
            circle = (int(x), int(y), int(radius))
            ImageDraw.Draw(ground).regular_polygon(circle, corners, int(turn), fill=tuple(map(int, colour)))
            ground.save(PHOTOS / shape / f"{number:02}.png")

sorted(folder.name for folder in PHOTOS.iterdir() if folder.is_dir())

# %% [markdown]
# ## validate: is the data sound?
#
# Correct all errors (a picture under two labels, in two splits, unreadable files) before training.
# `write(report, SCRATCH / "validation")` writes the same report as a page with thumbnails.

# %%
from training.data.validate import validate

report = validate(PHOTOS)
print(f"{len(report.manifest.entries)} pictures of {len(report.manifest.labels)} classes: {report.verdict}")
for finding in report.findings[:5]:
    print(finding.severity, finding.sentence)

# %% [markdown]
# ## train
#
# The run starts from ImageNet weights, which are installed. Here only the head learns, on pictures of 112 pixels, which
# takes a minute on any machine. For your own photos, pass only `data` and `cache`.

# %%
from training.learn import runs
from training.learn.loop import train
from training.learn.options import moment, options

chosen = options(
    data=PHOTOS,
    cache=RUNS / ".cache",
    sizes=(112,),
    epochs=(4,),
    rates=(2e-2,),
    batch=10,
)
run = train(chosen, RUNS / f"walk-{moment()}", notify=print)
record = runs.load(run)
print(f"accuracy: {record.training_accuracy:.3f} in training, {record.validation_accuracy:.3f} in validation")

# %% [markdown]
# ## evaluate: how good is it?
#
# The evaluation uses the pictures that the run has reserved for testing. It writes `evaluation.html` and
# `model_card.md` to the folder of the run.

# %%
from IPython.display import SVG, display

from training.judge.evaluate import evaluate_run, write_evaluation
from training.judge import plots

result = evaluate_run(run, robustness_pictures=10)
write_evaluation(result, run)
found = result.evaluation
low, high = found.top1_interval
print(f"top-1 {found.metrics['top1']:.3f} (95 %: {low:.3f} to {high:.3f}) on {found.data.pictures} pictures")
display(SVG(plots.reliability(found)))
display(SVG(plots.confusion(found)))

# %% [markdown]
# ## compare: is it better than the serving model?
#
# The gateway receives the same files and answers with the serving model. The new model runs here. Labels are
# matched by name.

# %%
from training.judge import examples
from training.judge.compare import compare_models
from training.judge.sources import opened

pictures = examples.of(run)
with opened(GATEWAY_URL) as serving, opened(run) as new:
    comparison = compare_models(serving, new, pictures)
print(f"top-1 {comparison.old_top1:.3f} -> {comparison.new_top1:.3f}. {comparison.verdict}")
for flip in comparison.flips[:5]:
    print(f"{flip.file}: {flip.old} -> {flip.new}, {flip.kind}")

# %% [markdown]
# ## gate: may it serve?
#
# Put your own thresholds into a TOML file; `training/judge/default.toml` contains the defaults. The thresholds below
# are low. The model is compared with the one that serves from `BASE`, if there is one.

# %%
from training.judge.gate import pass_gate
from training.judge.thresholds import Thresholds

thresholds = Thresholds.model_validate(
    {"absolute": {"min_top1": 0.6, "min_pictures": 5}, "relative": {"max_top1_loss": 0.05}}
)
verdict = pass_gate(run, thresholds, str(BASE))
for check in verdict.checks:
    print("passed" if check.passed else "FAILED", check.sentence)
print(*verdict.notes)

# %% [markdown]
# ## export and promote: into service
#
# Before the version is published, its answers for real pictures are compared with those of Keras. `promote` then puts
# it into the folder that replicas watch. If that is the gateway's folder, every replica loads the new version before it
# unloads the old one, so no request fails.

# %%
from training.release import promotion
from training.release.export import export_model
from training.judge.sources.served import await_version

if verdict.passed:
    version = export_model(run, BASE, notify=print)
    release = promotion.promote(BASE, int(version.name))
    print(f"Version {release.version} is now the serving version in {BASE}")
    if SERVES:
        await_version(GATEWAY_URL, release.version, within_s=300)
        print(f"Every replica behind {GATEWAY_URL} serves it")
else:
    print("The model has not passed the gate, so nothing has changed.")

# %% [markdown]
# ## Classify
#
# Send one photo to the gateway and print the names, as a website does.

# %%
import httpx

photo = pictures[0]
upload = {"image": (photo.file, examples.picture(photo).data)}
key = {"X-API-Key": os.environ["SPECIMEN_API_KEY"]} if "SPECIMEN_API_KEY" in os.environ else {}
answer = httpx.post(f"{GATEWAY_URL}/v1/classify", params={"top_k": 3}, files=upload, headers=key, timeout=60)
answer.raise_for_status()
print(f"A {photo.label}, answered by version {answer.json()['model']['version']}:")
for prediction in answer.json()["predictions"]:
    print(f"{prediction['confidence']:.3f}  {prediction['label']}")

# %% [markdown]
# The versions, newest first, and their origin. `promotion.rollback(BASE)` returns to the version that served before.

# %%
for known in promotion.history(BASE):
    origin = known.provenance
    print(known.version, known.state, origin.made_from if origin else "", origin.description.metrics if origin else "")
