"""What Slurm's commands print is read rightly, and one that is silent, missing or refuses is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_fakes import Commands, configuration

from harness.errors import UserError
from harness.execution.slurm import task as task_module
from harness.execution.slurm.controller import Controller, Limits, NoAnswer, QueuedTask, minutes_of

NEEDED = ("sbatch", "squeue", "scontrol", "scancel", "srun")
QUESTIONS = {
    "queue": lambda controller: controller.queue([7]),
    "queue by name": lambda controller: controller.queue_named("n"),
    "history": lambda controller: controller.history([7]),
    "history by name": lambda controller: controller.history_named("n", "2024-01-01T00:00:00"),
    "limits": lambda controller: controller.limits,
    "partition": lambda controller: controller.longest_minutes("cpu"),
    "job": lambda controller: controller.facts_of("7"),
    "cancel": lambda controller: controller.cancel(["7"]),
    "requeue": lambda controller: controller.requeue("7_1"),
}


@pytest.fixture
def all_commands(commands: Commands) -> Commands:
    """Every command that a sweep needs, and a controller that is up and keeps accounts."""
    for name in NEEDED:
        commands.says(name, "")
    commands.controller_says(config=configuration("accounting_storage/slurmdbd"))
    return commands


def accounted(commands: Commands, text: str) -> list[QueuedTask]:
    commands.controller_says(config=configuration("accounting_storage/slurmdbd"))
    commands.says("sacct", text)
    return Controller().history([7])


def test_elements_of_an_array_are_read_with_all_that_is_told_of_them(commands: Commands) -> None:
    commands.says("squeue", "7|0|RUNNING|None|node[1-2]|harness-small-a\n7|11|PENDING|Resources||harness-small-a")
    assert Controller().queue([7]) == [
        QueuedTask(7, 0, "RUNNING", "None", "node[1-2]", "harness-small-a"),
        QueuedTask(7, 11, "PENDING", "Resources", "", "harness-small-a"),
    ]


def test_ended_elements_are_asked_for_too_and_each_on_a_line_of_its_own(commands: Commands) -> None:
    commands.says("squeue", "")
    Controller().queue([7, 9])
    Controller().queue_named("harness-small-a")
    first, second = commands.calls("squeue")
    for call in (first, second):
        assert "--array" in call and "--states=all" in call and "--noheader" in call
    assert first.endswith("--jobs 7,9")
    assert second.endswith("--name harness-small-a")


def test_lines_that_are_no_elements_of_an_array_are_passed_over(commands: Commands) -> None:
    commands.says("squeue", "CLUSTER: toy\n7|N/A|RUNNING|None|node1|other\n\n7|2|RUNNING|None|node1|n|with|bars\n7")
    assert Controller().queue([7]) == [QueuedTask(7, 2, "RUNNING", "None", "node1", "n|with|bars")]


def test_a_job_that_the_controller_has_forgotten_has_no_elements(commands: Commands) -> None:
    commands.refuses("squeue", "slurm_load_jobs error: Invalid job id specified")
    assert Controller().queue([7]) == []


def test_any_other_refusal_is_no_answer(commands: Commands) -> None:
    commands.refuses("squeue", "warning first\nslurm_load_jobs error: Unable to contact slurm controller")
    with pytest.raises(NoAnswer, match="^slurm_load_jobs error: Unable to contact slurm controller$"):
        Controller().queue([7])


def test_nothing_is_asked_about_no_jobs(commands: Commands) -> None:
    controller = Controller()
    assert controller.queue([]) == [] and controller.history([]) == []
    controller.cancel([])


@pytest.mark.parametrize(
    ("identity", "indices"),
    [
        ("7_3", [3]),
        ("7_[3]", [3]),
        ("7_[3-7,9%2]", [3, 4, 5, 6, 7, 9]),
        ("7_[0-1,4,6-7]", [0, 1, 4, 6, 7]),
        ("7_[5%1]", [5]),
        ("7", []),
        ("7_[0-2,5,...]", [0, 1, 2, 5]),
    ],
)
def test_the_accounting_names_elements_alone_and_in_ranges(
    commands: Commands, identity: str, indices: list[int]
) -> None:
    found = accounted(commands, f"{identity}|CANCELLED by 1000|None assigned|harness-small-a")
    assert [(task.job, task.index) for task in found] == [(7, index) for index in indices]
    assert all((task.state, task.name) == ("CANCELLED by 1000", "harness-small-a") for task in found)


def test_the_accounting_names_elements_in_steps(commands: Commands) -> None:
    # Slurm writes what is left of an array as first-last:step where every second one, say, has begun.
    found = accounted(commands, "7_[0-20:2]|PENDING|None assigned|harness-small-a")
    assert [task.index for task in found] == list(range(0, 21, 2))


def test_several_runs_of_one_element_come_in_their_order(commands: Commands) -> None:
    found = accounted(
        commands, "7_1|PREEMPTED|node1|n\n7_1|NODE_FAIL|node2|n\n7_1|COMPLETED|node3|n\n7_0|FAILED|node1|n"
    )
    assert [(task.index, task.state, task.node) for task in found] == [
        (1, "PREEMPTED", "node1"),
        (1, "NODE_FAIL", "node2"),
        (1, "COMPLETED", "node3"),
        (0, "FAILED", "node1"),
    ]
    assert "--duplicates" in commands.calls("sacct")[0] and "--allocations" in commands.calls("sacct")[0]


def test_without_accounting_there_is_no_history_and_sacct_is_not_asked(commands: Commands) -> None:
    commands.controller_says(config=configuration("accounting_storage/none"))
    commands.refuses("sacct", "Slurm accounting storage is disabled")
    assert Controller().history([7]) == []
    assert Controller().history_named("n", "2024-01-01T00:00:00") == []
    assert not commands.calls("sacct")


def test_accounting_that_newer_slurm_calls_null_is_none(commands: Commands) -> None:
    commands.controller_says(config=configuration("(null)"))
    commands.refuses("sacct", "Slurm accounting storage is disabled")
    assert Controller().history([7]) == []


def test_without_sacct_there_is_no_history(commands: Commands) -> None:
    commands.controller_says(config=configuration("accounting_storage/slurmdbd"))
    assert Controller().history([7]) == []


def test_the_configuration_is_asked_for_once(commands: Commands) -> None:
    commands.controller_says(config=configuration(MaxArraySize="10001"))
    controller = Controller()
    assert controller.limits == controller.limits == Limits("toy", 10001, False)
    assert len(commands.calls("scontrol")) == 1


def test_a_configuration_without_a_word_of_it_leaves_slurms_own_defaults(commands: Commands) -> None:
    commands.controller_says(config="Configuration data")
    assert Controller().limits == Limits("", 1001, False)


def test_an_entry_without_a_value_leaves_the_next_one_readable(commands: Commands) -> None:
    commands.controller_says(config="CliFilterPlugins        = \nClusterName             = toy\n")
    assert Controller().limits.cluster == "toy"


PARTITIONS = (
    "PartitionName=cpu AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=1-00:00:00 MinNodes=0 State=UP\n"
    "PartitionName=short AllowGroups=ALL Default=YES MaxNodes=UNLIMITED MaxTime=00:30:00 MinNodes=0 State=UP"
)


def test_the_default_partition_is_found_without_a_name(commands: Commands) -> None:
    commands.controller_says(partition=PARTITIONS)
    assert Controller().longest_minutes(None) == 30
    assert commands.calls("scontrol") == ["show partition --oneliner"]


def test_a_partition_is_found_by_its_name(commands: Commands) -> None:
    commands.controller_says(partition=PARTITIONS.splitlines()[0])
    assert Controller().longest_minutes("cpu") == 1440
    assert commands.calls("scontrol") == ["show partition --oneliner cpu"]


@pytest.mark.parametrize("text", ["", PARTITIONS.splitlines()[0], PARTITIONS.replace("00:30:00", "UNLIMITED")])
def test_no_default_partition_and_no_limit_are_unlimited(commands: Commands, text: str) -> None:
    commands.controller_says(partition=text)
    assert Controller().longest_minutes(None) is None


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30", 30),
        ("30:30", 30.5),
        ("2:30:00", 150),
        ("00:00:01", 1 / 60),
        ("1-0", 1440),
        ("1-12", 1440 + 720),
        ("1-12:30", 1440 + 750),
        ("1-12:30:30", 1440 + 750.5),
        ("365-00:00:00", 365 * 1440),
        ("UNLIMITED", None),
        ("INFINITE", None),
        ("NONE", None),
        ("N/A", None),
        ("Partition_Limit", None),
        ("", None),
        ("one-00:00:00", None),
    ],
)
def test_every_form_of_time_is_read(text: str, minutes: float | None) -> None:
    assert minutes_of(text) == pytest.approx(minutes)


def slurm_time(seconds: int) -> str:
    """Write a time as Slurm's ``secs2time_str`` does."""
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock


@given(st.integers(0, 10**8))
def test_a_time_that_slurm_prints_comes_back_to_the_second(seconds: int) -> None:
    assert minutes_of(slurm_time(seconds)) == pytest.approx(seconds / 60, abs=1e-6)


@given(st.integers(0, 3650), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_shorter_form_of_a_time_means_the_same(days: int, hours: int, minutes: int, seconds: int) -> None:
    whole = days * 1440 + hours * 60 + minutes
    assert minutes_of(f"{days}-{hours}:{minutes}:{seconds}") == pytest.approx(whole + seconds / 60)
    assert minutes_of(f"{days}-{hours}:{minutes}") == whole
    assert minutes_of(f"{days}-{hours}") == days * 1440 + hours * 60
    assert minutes_of(f"{whole}:{seconds}") == pytest.approx(whole + seconds / 60)
    assert minutes_of(f"{whole}") == whole


def test_what_slurm_says_of_a_job_is_read_by_name(commands: Commands) -> None:
    commands.says("scontrol", "JobId=12 ArrayJobId=7 ArrayTaskId=3 JobName=a PreemptTime=None TimeLimit=00:30:00")
    facts = Controller().facts_of("7_3")
    assert (facts["ArrayTaskId"], facts["PreemptTime"]) == ("3", "None")


@pytest.mark.parametrize(("told", "why"), [("None", "requeued"), ("2024-01-01T00:00:00", "preempted")])
def test_a_task_asks_whether_another_job_takes_its_node(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, told: str, why: str
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    commands.says("scontrol", f"JobId=12 PreemptEligibleTime=2024-01-01T00:00:00 PreemptTime={told} Requeue=1")
    assert task_module._why() == why


def test_a_task_that_gets_no_answer_takes_the_warning_for_its_time_limit(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    commands.refuses("scontrol", "slurm_load_jobs error: Unable to contact slurm controller")
    assert task_module._why() == "requeued"


def test_jobs_are_cancelled_and_requeued_by_the_names_given(commands: Commands) -> None:
    commands.says("scancel", "")
    commands.says("scontrol", "")
    Controller().cancel(["7", "9_1"], "--state=PENDING", "--quiet")
    Controller().requeue("7_3")
    assert commands.calls("scancel") == ["--state=PENDING --quiet 7 9_1"]
    assert commands.calls("scontrol") == ["requeue 7_3"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_command_that_hangs_is_given_up(all_commands: Commands, question: str) -> None:
    controller = Controller(seconds=0.3)
    if question.startswith("history"):
        # The configuration is known from before; it is the accounting that hangs.
        controller.__dict__["limits"] = Limits("toy", 1001, True)
    for name in ("squeue", "sacct", "scontrol", "scancel"):
        all_commands.hangs(name)
    with pytest.raises(NoAnswer, match=r"^\w+ gave no answer in 0\.3 s$"):
        QUESTIONS[question](controller)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_command_that_fails_gives_its_last_line(all_commands: Commands, question: str) -> None:
    controller = Controller()
    assert controller.limits.accounting
    if question == "limits":
        controller = Controller()
    for name in ("squeue", "sacct", "scontrol", "scancel"):
        all_commands.refuses(name, "first line\nlast line", status=3)
    with pytest.raises(NoAnswer, match="^last line$"):
        QUESTIONS[question](controller)


def test_a_command_that_fails_without_a_word_gives_its_exit_status(commands: Commands) -> None:
    commands.add("squeue", "exit 5")
    with pytest.raises(NoAnswer, match="^squeue: exit status 5$"):
        Controller().queue([7])


def test_a_command_that_is_not_there_is_no_answer(commands: Commands) -> None:
    with pytest.raises(NoAnswer, match="^squeue: No such file or directory$"):
        Controller().queue([7])


def test_output_that_is_no_text_hides_nothing(commands: Commands) -> None:
    commands.add("squeue", r"printf '7|0|RUNNING|None|node\377|n\n'")
    assert [(task.index, task.state) for task in Controller().queue([7])] == [(0, "RUNNING")]


def test_a_machine_with_slurm_gives_its_limits(all_commands: Commands) -> None:
    assert Controller().require() == Limits("toy", 1001, True)


def test_a_backup_controller_that_is_up_is_enough(all_commands: Commands) -> None:
    all_commands.controller_says(
        ping="Slurmctld(primary) at head1 is DOWN\nSlurmctld(backup) at head2 is UP", config=configuration()
    )
    assert Controller().require().cluster == "toy"


@pytest.mark.parametrize("missing", NEEDED)
def test_a_machine_without_one_of_the_commands_is_told_so(all_commands: Commands, missing: str) -> None:
    (all_commands.folder / missing).unlink()
    with pytest.raises(UserError) as told:
        Controller().require()
    assert str(told.value) == (
        f"--executor slurm: this machine has no {missing}; run it where Slurm's commands are, or use --executor local"
    )


@pytest.mark.parametrize("ping", ["Slurmctld(primary) at head is DOWN", "something else", ""])
def test_a_controller_that_is_down_is_told_so(all_commands: Commands, ping: str) -> None:
    all_commands.controller_says(ping=ping, config=configuration())
    with pytest.raises(UserError) as told:
        Controller().require()
    assert str(told.value) == (
        f"--executor slurm: the Slurm controller does not answer ({ping or 'no answer'}); see 'scontrol ping', "
        "or use --executor local"
    )


def test_a_controller_that_is_down_and_says_so_by_its_status_is_told_so(all_commands: Commands) -> None:
    all_commands.add("scontrol", "echo 'Slurmctld(primary) at head is DOWN'; exit 1")
    with pytest.raises(UserError, match=r"does not answer \(Slurmctld\(primary\) at head is DOWN\)"):
        Controller().require()


def test_a_controller_that_hangs_is_told_so(all_commands: Commands) -> None:
    all_commands.hangs("scontrol")
    with pytest.raises(UserError, match=r"does not answer \(scontrol gave no answer in 0\.3 s\)"):
        Controller(seconds=0.3).require()


def test_a_configuration_that_cannot_be_had_is_told_so(all_commands: Commands) -> None:
    all_commands.add("scontrol", "[ $1 = ping ] && echo 'Slurmctld(primary) at head is UP'")
    with pytest.raises(UserError, match=r"does not answer \(scontrol: exit status 1\)"):
        Controller().require()
