"""One YAML file, wholly checked before the first step runs; then run, resumed, told."""

from solarxai.workflow.plan import (
    STEPS,
    Cluster,
    Folder,
    InputFile,
    Outcome,
    Step,
    Workflow,
    WorkflowFile,
    describe_options,
    load,
    make_cluster,
    options_of,
    single_step,
    sound,
)

__all__ = [
    "STEPS",
    "Cluster",
    "Folder",
    "InputFile",
    "Outcome",
    "Step",
    "Workflow",
    "WorkflowFile",
    "describe_options",
    "load",
    "make_cluster",
    "options_of",
    "single_step",
    "sound",
]
