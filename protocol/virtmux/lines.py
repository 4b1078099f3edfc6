"""Lines counted back from an end, in a time that does not depend on how many they are. Pure."""


def lines_back(data: bytes, count: int) -> int:
    """Where the last `count` lines of `data` begin; one that is not finished counts. 0 where there are fewer."""
    return newline_back(data, count, len(data) - 1) + 1  # a newline at the very end begins no line


def newline_back(data: bytes, count: int, end: int) -> int:
    """The index of the newline that is the `count`-th before the index `end`, the last of them being the first; -1
    where there are fewer."""
    if data.count(b"\n", 0, end) < count:
        return -1
    begin = 0
    while end - begin > 1:  # it is in here, as the `count`-th before the end
        middle = (begin + end) // 2
        behind = data.count(b"\n", middle, end)
        if behind >= count:
            begin = middle
        else:
            count -= behind
            end = middle
    return begin
