"""test_boards: one side of a board game acts by its rules, and the greedy rule wins where it can."""

import numpy as np
import pytest

from lichen.core.errors import LichenError
from lichen.data import environments

pytest.importorskip("pettingzoo")
from lichen.data.boards import Board


def table(opponent, seed=0, game="connect_four_v3"):
    board = Board(game, [opponent])
    board.reset(seed=seed)
    return board


def test_games_end_in_what_was_won_and_both_sides_begin():
    board, draws, ends, begins = table("random"), np.random.default_rng(0), [], set()
    for seed in range(30):
        seen, _ = board.reset(seed=seed)
        begins.add(int(seen.sum()))
        is_over = False
        while not is_over:
            _, reward, is_over, _, _ = board.step(draws.integers(7))
            assert reward == 0.0 or is_over
        ends.append(reward)
    assert begins == {0, 1} and {-1.0, 1.0} <= set(ends) <= {-1.0, 0.0, 1.0}


def test_a_full_column_becomes_the_next_that_is_not():
    board = table("random")
    for _ in range(21):
        if board.step(3)[2]:
            break
    assert sum(board.table.board) > 0  # no move was refused, though a column holds six


def test_greedy_takes_a_win_and_random_may_not():
    """Three in a row with both ends open: whoever looks one move ahead wins now."""
    won = []
    for opponent in ("greedy", "random"):
        for seed in range(8):
            board = table(opponent, seed)
            mover, board.me = board.me, next(one for one in board.players if one != board.me)
            board.table.board[:] = [0] * 42
            board.table.board[35 + 2 : 35 + 5] = [board.players.index(mover) + 1] * 3
            board._answered()
            won.append((opponent, board.table.rewards[mover] > 0))
    assert all(is_won for opponent, is_won in won if opponent == "greedy")
    assert not all(is_won for opponent, is_won in won if opponent == "random")


def test_looking_ahead_changes_nothing():
    board = table("greedy")
    before = list(board.table.board), board.table.agent_selection
    [board._wins(move) for move in range(7)]
    assert (list(board.table.board), board.table.agent_selection) == before


def test_equal_seeds_play_equal_games_by_the_name_of_the_game():
    world = environments.look_at("pettingzoo/connect_four_v3", {}, [])
    told = []
    for _ in range(2):
        copies = environments.copies(world, 3)
        copies.reset(5)
        told.append([copies.step(np.array([1, 3, 5])).nexts for _ in range(12)])
        copies.close()
    np.testing.assert_array_equal(*told)


WRONG = [("nothing_v3", "random"), ("os", "random"), ("chess.x_v3", "random"), ("connect_four_v2", "random"),
         ("connect_four_v3", "best")]  # fmt: skip


@pytest.mark.parametrize("game, opponent", WRONG)
def test_what_is_no_game_or_opponent_is_refused(game, opponent):
    with pytest.raises(LichenError):
        environments.look_at(f"pettingzoo/{game}", {"opponents": [opponent]}, [])
