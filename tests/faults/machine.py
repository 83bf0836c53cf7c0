"""Random sequences of what can happen to a worker and its receivers, made by hypothesis; none may lose anything."""

from typing import ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.faults.model import ForgetfulLog, Log, Model

STEPS = 30
ONE = st.integers(0, 5)  # which subscription: three unordered, two ordered by key, one strict


class Deliveries(RuleBasedStateMachine):
    """A partition and its worker. What is owed is taken, dead, held, or would be sent by the next worker: always."""

    log: ClassVar[type[Log]] = Log
    played: ClassVar[int] = 0
    owed: ClassVar[int] = 0

    @initialize(chance=st.integers(0, 1 << 30))
    def begin(self, chance: int) -> None:
        """Start a worker."""
        self.model = Model(chance, log=self.log)
        self.has_zombies = False
        type(self).played += 1

    @rule(one=ONE, keys=st.lists(st.integers(0, 3), min_size=1, max_size=25))
    def publish(self, one: int, keys: list[int]) -> None:
        """Publish some deliveries."""
        self.model.publish(one, keys)

    @rule(one=ONE, mode=st.sampled_from(["answers", "fails", "flaky", "hangs"]))
    def behave(self, one: int, mode: str) -> None:
        """Have a receiver behave otherwise."""
        self.model.behave(one, mode)

    @rule(one=ONE, paused=st.booleans())
    def pause(self, one: int, paused: bool) -> None:
        """Pause or resume."""
        self.model.change(one, paused=paused)

    @rule(one=ONE, enabled=st.booleans())
    def enable(self, one: int, enabled: bool) -> None:
        """Disable or enable."""
        self.model.change(one, enabled=enabled)

    @rule(one=ONE, rate=st.sampled_from([None, 1, 20]), cap=st.sampled_from([0, 1, 5]))
    def limit(self, one: int, rate: int | None, cap: int) -> None:
        """Change the rate and the in-flight cap."""
        self.model.change(one, rate_limit=rate, most_in_flight=cap)

    @rule(commits=st.booleans())
    def kill(self, commits: bool) -> None:
        """Kill the worker; another takes over."""
        self.model.kill(commits=commits)

    @rule()
    def pause_the_process(self) -> None:
        """Stop the worker past its session: another takes over, and it goes on with what it had."""
        self.has_zombies = True
        self.model.kill(commits=True, stays=True)

    @rule()
    def seek_back(self) -> None:
        """Have Faust hand over again what is not committed."""
        self.model.seek_back()

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 2.0, 12.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.model.pass_s(seconds)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Ask what the next worker would send."""
        if hasattr(self, "model"):
            self.model.check()

    def teardown(self) -> None:
        """Mend everything: all that is owed comes to an end, ordered deliveries in their order."""
        if not hasattr(self, "model"):
            return
        try:
            self.model.drain()
            type(self).owed += len(self.model.world.accepted)
            if not self.has_zombies:  # the documented hole: a process that is paused past its session
                assert not self.model.world.inversions()
        finally:
            self.model.close()


class Forgetful(Deliveries):
    """The control: a worker that takes a cursor for written which is not."""

    log = ForgetfulLog


def play(machine: type[Deliveries], sequences: int, chance: int) -> None:
    """Play so many sequences; raises AssertionError with the shortest that fails."""
    machine.played = machine.owed = 0
    chosen = settings(
        max_examples=sequences,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=False,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    seed(chance)(machine)
    run_state_machine_as_test(machine, settings=chosen)
