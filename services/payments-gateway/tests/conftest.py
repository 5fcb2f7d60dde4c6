"""c."""
import pytest
from .fakes import X

@pytest.fixture
def x() -> int:
    """Give."""
    return X
