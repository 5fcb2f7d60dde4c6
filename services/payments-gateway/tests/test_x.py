from .fakes import X

def test_x(x: int) -> None:
    """X."""
    reveal_type(X)
    assert X == x
