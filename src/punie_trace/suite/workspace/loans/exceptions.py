"""Why a loan can be refused."""


class LoanError(Exception):
    """Root of all reasons."""

    code = "loan_error"


class TooManyLoansError(LoanError):
    """The member has as many books as the library allows."""

    code = "too_many_loans"


class CopyNotAvailableError(LoanError):
    """The copy is lent or lost."""

    code = "copy_not_available"


class RenewalLimitError(LoanError):
    """The loan was renewed too often."""

    code = "renewal_limit"
