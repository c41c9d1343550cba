"""One YAML file, wholly checked before the first step runs; then run, resumed, told."""

from solarxai.workflow.clusters import Cluster, Placement, make_cluster, spelled_placement
from solarxai.workflow.options import options_of
from solarxai.workflow.plan import (
    STEPS,
    Folder,
    InputFile,
    Outcome,
    Step,
    Workflow,
    WorkflowFile,
    describe_options,
    load,
    single_step,
    sound,
)

__all__ = [
    "STEPS",
    "Cluster",
    "Folder",
    "InputFile",
    "Outcome",
    "Placement",
    "Step",
    "Workflow",
    "WorkflowFile",
    "describe_options",
    "load",
    "make_cluster",
    "options_of",
    "single_step",
    "sound",
    "spelled_placement",
]
