"""A run as an RO-Crate: its results, its workflow, its software, its inputs with hashes, its times.

The crate follows the profile Process Run Crate 0.5: one `CreateAction` a step, whose `instrument`
is this library and whose `object` and `result` are inputs and outputs. Raw data and samples are
not copied: they are named by their hash, as RFC 6920 spells it.

References
----------
https://w3id.org/ro/wfrun/process/0.5
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from solarxai.errors import WorkflowError
from solarxai.provenance import file_hash
from solarxai.workflow.execution import NEEDS
from solarxai.workflow.record import slurm_jobs, step_records

__all__ = ["PROFILE", "resolved_workflow", "write_crate"]

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"

_RO_CRATE = "1.1"
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_DONE = "http://schema.org/CompletedActionStatus"
_LEFT_OUT = frozenset({"data", "samples", "classifier", "jobs", "work"})
"""Folders of a run that hold its inputs and working files, which a crate names and does not hold"""


def write_crate(run: Path, target: Path, *, agent: str, licence: str = "not stated") -> Path:
    """Write a run as an RO-Crate: a folder, or one file where `target` ends in .zip.

    Parameters
    ----------
    run
        Folder of the run; steps that are not finished are left out.
    target
        What to write.
    agent
        Who ran it: a name, or an ORCID as a URL.
    licence
        Under which the results are given: a URL, or words.

    Raises
    ------
    WorkflowError
        when the folder is not of a run that has finished a step, the target is there, or the
        package rocrate is not installed.
    """
    steps = {name: one for name, one in step_records(run).items() if one["state"] == "done"}
    times = _times(run)
    if not steps or not times:
        raise WorkflowError(
            f"{run}: not the folder of a run that has finished a step",
            remedy="Name the folder that `solarxai run` wrote.",
        )
    if target.exists():
        raise WorkflowError(f"{target} is there already", remedy="Give another -o.")
    draft = _Draft(run, steps)
    draft.describe_root(licence=licence, published=max(end for _, end in times.values()))
    draft.describe_steps(times, agent=agent, jobs=slurm_jobs(run))
    write = draft.crate.write_zip if target.suffix == ".zip" else draft.crate.write
    write(target)
    return target


def resolved_workflow(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the workflow that makes these steps, every option spelled out, as its file reads."""
    last = list(steps.values())[-1]["made"]
    told = {"seed": last["seed"], "threads": last["threads"]}
    named = {"name": last["workflow"]} if last["workflow"] else {}
    blocks = {
        name: {
            option: value
            for option, value in record["made"]["options"].items()
            if option not in record["made"]["places"]
        }
        for name, record in steps.items()
    }
    return {**named, **told, **blocks}


def _times(run: Path) -> dict[str, tuple[str, str]]:
    """Return when each finished step began and ended, ISO 8601, by its journal."""
    path = run / "run.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    begun: dict[str, str] = {}
    found = {}
    for line in lines:
        event = json.loads(line)
        if event["event"] == "stage started":
            begun[event["stage"]] = event["time"]
        elif event["event"] == "step done":
            step = event["step"]
            found[step] = begun.get(step, event["time"]), event["time"]
    return found


class _Draft:
    """A crate in the making.

    Parameters
    ----------
    run
        Folder of the run.
    steps
        Records of its finished steps.
    """

    def __init__(self, run: Path, steps: Mapping[str, Mapping[str, Any]]) -> None:
        self._run = run
        self._steps = steps
        self._model, self.crate = _empty()
        self._parts = self._held()
        self._workflow = self._written_workflow()

    def describe_root(self, *, licence: str, published: str) -> None:
        """Say what the crate is, and that it follows the profile."""
        root = self.crate.root_dataset
        name = list(self._steps.values())[-1]["made"]["workflow"] or self._run.resolve().name
        root["name"] = f"{name}: a run of solarxai"
        root["description"] = f"Results of the steps {', '.join(self._steps)}, and what made them."
        root["datePublished"] = published
        root["license"] = licence
        profile = {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
        root["conformsTo"] = self._entity(PROFILE, **profile)

    def describe_steps(
        self, times: Mapping[str, tuple[str, str]], *, agent: str, jobs: Sequence[str]
    ) -> None:
        """Add one action a step."""
        who = agent if agent.startswith("https://") else "#agent"
        person = self._entity(who, **{"@type": "Person", "name": agent})
        results: dict[str, list[Any]] = {}
        for name, record in self._steps.items():
            before = [
                one for group in NEEDS[name] for step in group for one in results.get(step, [])
            ]
            results[name] = self._results(record)
            began, ended = times.get(name, (None, None))
            told = {
                "name": f"solarxai: {name}",
                "description": json.dumps(_told(record, jobs), sort_keys=True),
                "actionStatus": _DONE,
                **({"startTime": began, "endTime": ended} if ended else {}),
            }
            action = self.crate.add_action(
                self._software(record["made"]["in"][-1]),
                identifier=f"#{name}-{record['key'][:16]}",
                object=[self._workflow, *self._inputs(record), *_once(before)],
                result=results[name],
                properties=told,
            )
            action["agent"] = person
            self.crate.root_dataset.append_to("mentions", action)

    def _entity(self, identifier: str, **properties: Any) -> Any:
        known = self.crate.dereference(identifier)
        made = self._model.ContextEntity(self.crate, identifier, properties=properties)
        return known or self.crate.add(made)

    def _held(self) -> dict[str, Any]:
        """Add every file and folder of the run that a crate holds; return them by name."""
        found = {}
        for path in sorted(self._run.iterdir()):
            if path.name.startswith(".") or path.name in _LEFT_OUT:
                continue
            if path.is_dir():
                found[path.name] = self.crate.add_directory(
                    path, path.name, properties={"name": path.name}
                )
            else:
                found[path.name] = self.crate.add_file(
                    path, path.name, properties=_described(path.name, file_hash(path))
                )
        self._name_store(found)
        return found

    def _name_store(self, found: Mapping[str, Any]) -> None:
        told = self._run / "attribute.json"
        if "store" in found and told.is_file():
            root = json.loads(told.read_text())["root hash"]
            found["store"]["identifier"] = f"root hash {root}"
            found["store"]["description"] = "Saliency maps in Zarr v3, with ledger and seal"

    def _written_workflow(self) -> Any:
        stream = io.StringIO()
        YAML().dump(resolved_workflow(self._steps), stream)
        stream.seek(0)
        told = {
            "@type": ["File", "SoftwareSourceCode"],
            "name": "workflow.yaml",
            "description": "The workflow with every option spelled out, for `solarxai run`",
            "encodingFormat": "application/yaml",
        }
        return self.crate.add_file(stream, "workflow.yaml", properties=told)

    def _results(self, record: Mapping[str, Any]) -> list[Any]:
        """Return what a step left: parts of the crate, or files named by their hash."""
        made = []
        for name, file in record["files"].items():
            part = self._parts.get(name.partition("/")[0])
            made.append(part if part is not None else self._named(name, file["sha256"]))
        return _once(made)

    def _inputs(self, record: Mapping[str, Any]) -> list[Any]:
        inputs = record["made"]["inputs"].values()
        return [self._named(Path(one["path"]).name, one["sha256"]) for one in inputs]

    def _named(self, name: str, sha256: str) -> Any:
        """Return a file that the crate does not hold, named by its hash (RFC 6920)."""
        digest = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
        address = f"ni:///sha-256;{digest}"
        known = self.crate.dereference(address)
        return known or self.crate.add_file(address, properties=_described(name, sha256))

    def _software(self, surroundings: Mapping[str, Any]) -> Any:
        """Return this library as it was, and what it stands on."""
        code = surroundings["code"]
        needed = [
            self._entity(
                f"#{name}-{version}",
                **{"@type": "SoftwareApplication", "name": name, "softwareVersion": version},
            )
            for name, version in sorted(surroundings["versions"].items())
            if name not in ("solarxai", "machine")
        ]
        told = {
            "@type": "SoftwareApplication",
            "name": "solarxai",
            "softwareVersion": code["version"],
            "description": f"code hash {code['hash']}, commit {code['commit']}, "
            f"dirty {code['dirty']}",
            "softwareRequirements": needed,
        }
        return self._entity(f"#solarxai-{code['version']}-{code['hash'][:12]}", **told)


def _empty() -> tuple[Any, Any]:
    """Return the model of the package rocrate, and an empty crate."""
    try:
        model = importlib.import_module("rocrate.model")
        made = importlib.import_module("rocrate.rocrate").ROCrate(version=_RO_CRATE)
    except ImportError as error:
        raise WorkflowError(
            "RO-Crates need the package rocrate, which is not installed",
            remedy="Type `pip install 'solarxai[crate]'`.",
        ) from error
    made.metadata.extra_contexts.append(_TERMS)
    return model, made


def _described(name: str, sha256: str) -> dict[str, Any]:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {"name": name, "sha256": sha256, "encodingFormat": kind}


def _once(entities: Sequence[Any]) -> list[Any]:
    return list({one.id: one for one in entities}.values())


def _told(record: Mapping[str, Any], jobs: Sequence[str]) -> dict[str, Any]:
    """Return the facts of a step that the profile has no words for."""
    made = record["made"]
    facts = {word: made[word] for word in ("options", "seed", "threads", "cluster", "workers")}
    where = [{word: one[word] for word in ("machine", "numerics")} for one in made["in"]]
    return {**facts, "key": record["key"], "where": where, "slurm jobs": list(jobs)}
