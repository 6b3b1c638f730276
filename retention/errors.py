"""Everything that `retention` raises. A message names the input that was wrong."""

from __future__ import annotations


class RetentionError(Exception):
    """Root of all errors raised by `retention`."""


class PolicyError(RetentionError):
    """A policy file does not say what it must; the message has a line per problem."""


class SupersededError(PolicyError):
    """Others recorded policies since, and this process goes by those from before."""


class SubjectError(RetentionError):
    """A file of subjects does not say what it must (a line per problem), or nobody is found."""


class FutureInstantError(RetentionError):
    """Asked to plan, run or verify as of an instant that has not come yet."""


class PlanError(RetentionError):
    """A plan cannot be made, read, or run any more: the world it was made for has changed."""


class LeaseLostError(RetentionError):
    """Somebody else holds the lease now; nothing that we began may commit."""


class RunError(RetentionError):
    """A run cannot be opened, paused, resumed, cancelled or found as asked."""


class HeldError(RetentionError):
    """A tenant under legal hold: its rows are not changed or deleted."""


class NoTenantError(RetentionError):
    """There is no such tenant."""


class HoldError(RetentionError):
    """A hold cannot be placed or released as asked."""


class ErasureError(RetentionError):
    """An erasure cannot be asked for, approved, run or ended as asked, or is not there."""


class SeatError(RetentionError):
    """A seat at a tenant's desk is used for another tenant."""


class ErasingError(HeldError):
    """A row of a person who is being erased: it does not change any more."""


class OffboardingError(RetentionError):
    """A tenant cannot be offboarded, or its offboarding taken back, as asked."""


class UnknownOffboardingError(OffboardingError):
    """There is no such offboarding, or not for whoever asks."""


class OvertakenError(RetentionError):
    """Others changed rows between a batch's choosing and deleting them; it is rolled back, and
    done again with the rows locked first."""


class InvariantError(RetentionError):
    """What the executor found contradicts what it relies on; the batch is rolled back."""


class DeliveryError(RetentionError):
    """A message to somebody outside could not be delivered."""


class SignatureError(RetentionError):
    """A message from outside is not signed by whom it says it is from, or too long ago."""


class UnknownErasureError(ErasureError):
    """There is no such erasure, or not for whoever asks."""


class ConnectorError(RetentionError):
    """A connector is declared wrongly, or cannot do what it was asked for."""


class VerificationError(RetentionError):
    """A verification could not be made; nothing of it is kept."""


class ScheduleError(RetentionError):
    """A text that is no schedule."""


class RestoreError(RetentionError):
    """What was archived cannot be brought back as asked; nothing of it was."""


class AttestationError(RetentionError):
    """An authority or a witness has not attested a checkpoint, or not so that it verifies."""


class WitnessError(RetentionError):
    """A witness cannot do its work: what it has cosigned cannot be read or kept."""


class InspectionError(RetentionError):
    """A text that is no result of the lint gate or the posture audit."""


class LedgerError(RetentionError):
    """The ledger cannot be put in order, signed, exported or proven from as asked."""


class UncertifiedError(LedgerError):
    """There is nothing here that a certificate could tell of, or not for whoever asks."""


class UnsignedError(LedgerError):
    """An entry is under no checkpoint yet."""


class ExportError(RetentionError):
    """An export cannot be made as asked; what was written of it is nothing to hand out."""
