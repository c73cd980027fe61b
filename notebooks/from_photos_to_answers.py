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
# A walk from a folder of labelled photos to an answer of the running gateway: is the data sound, is the model good, is
# it better than the one that serves now, does it answer the same once it is served. Each step is a verb of
# `python -m training`, called as a function here.
#
# Run it as it is first: it draws its own pictures and takes about a minute. Then set `PHOTOS` to a folder of yours.
# Everything it makes goes into a scratch folder, unless you name others by these environment variables:
#
# | variable | default | what |
# |---|---|---|
# | `GATEWAY_URL` | `http://localhost:8080` | the gateway that is asked |
# | `SPECIMEN_API_KEY` | none | the key, if that gateway wants one |
# | `PHOTOS` | drawn pictures | folder of labelled photos, a folder per class |
# | `RUNS_DIR` | scratch | where runs go |
# | `MODELS_DIR` | scratch | folder of served models. Name the gateway's own, and the model goes into service |
# | `MODEL_NAME` | `my_model` | its name there |

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
# A folder per class, with the photos in it. Here are drawn ones, if you have named none.

# %%
from training import drawings

if "PHOTOS" not in os.environ:
    for class_index in (0, 4, 14):
        folder = PHOTOS / drawings.specimens()[class_index].label
        folder.mkdir(parents=True)
        for seed in range(30):
            (folder / f"{seed:02}.jpg").write_bytes(drawings.encoded(class_index, seed))

sorted(folder.name for folder in PHOTOS.iterdir() if folder.is_dir())

# %% [markdown]
# ## validate: is the data sound?
#
# Errors (a picture under two labels, in two splits, unreadable files) must be settled before training. The same report
# as a page with thumbnails: `write(report, SCRATCH / "validation")`.

# %%
from training.data.validate import validate

report = validate(PHOTOS)
print(f"{len(report.manifest.entries)} pictures of {len(report.manifest.labels)} classes: {report.verdict}")
for finding in report.findings[:5]:
    print(finding.severity, finding.sentence)

# %% [markdown]
# ## train
#
# For real photos leave all but `data` out: the run then begins with the weights of ImageNet. Here the demo's network
# stands in for them, so that nothing is downloaded, and only the head learns, on pictures of 112 pixels: this takes a
# minute on any machine.

# %%
from training.learn import model as network
from training.learn import runs
from training.learn.loop import train
from training.demo import weights
from training.learn.options import moment, options

knows_drawings = network.build(len(drawings.specimens()), alpha=0.35)
weights.load(knows_drawings)
knows_drawings.save(SCRATCH / "knows_drawings.keras")

chosen = options(
    data=PHOTOS,
    cache=RUNS / ".cache",
    weights=str(SCRATCH / "knows_drawings.keras"),
    width=0.35,
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
# On the pictures that the run has kept for testing. The folder of the run now holds `evaluation.html`, to look at, and
# `model_card.md`, to hand on.

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
# ## compare: is it better than what serves now?
#
# The gateway gets the same files and answers with the model that serves; the new model answers here. Labels are
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
# Thresholds of your own go into a TOML file; `training/judge/default.toml` has the usual ones. These are modest, and
# the model is held against what serves from `BASE`, if anything does.

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
# The version is verified against Keras on real pictures before anybody can see it. To promote it is to put it where
# replicas look. Where that is the gateway's folder, every replica loads it before it drops the version before, and no
# request fails.

# %%
from training.release import promotion
from training.release.export import export_model
from training.judge.sources.served import await_version

if verdict.passed:
    version = export_model(run, BASE, notify=print)
    release = promotion.promote(BASE, int(version.name))
    print(f"Version {release.version} is the one to serve from {BASE}")
    if SERVES:
        await_version(GATEWAY_URL, release.version, within_s=300)
        print(f"Every replica behind {GATEWAY_URL} serves it")
else:
    print("It has not passed its gate, so nothing has changed.")

# %% [markdown]
# ## Ask
#
# What a website does: one photo to the gateway, names back.

# %%
import httpx

photo = pictures[0].path
upload = {"image": (photo.name, photo.read_bytes())}
key = {"X-API-Key": os.environ["SPECIMEN_API_KEY"]} if "SPECIMEN_API_KEY" in os.environ else {}
answer = httpx.post(f"{GATEWAY_URL}/v1/classify", params={"top_k": 3}, files=upload, headers=key, timeout=60)
answer.raise_for_status()
print(f"A {pictures[0].label}, answered by version {answer.json()['model']['version']}:")
for prediction in answer.json()["predictions"]:
    print(f"{prediction['confidence']:.3f}  {prediction['label']}")

# %% [markdown]
# Which versions there are, newest first, and what they were made of. `promotion.rollback(BASE)` makes the version serve
# that served before.

# %%
for known in promotion.history(BASE):
    origin = known.provenance
    print(known.version, known.state, origin.made_from if origin else "", origin.description.metrics if origin else "")
