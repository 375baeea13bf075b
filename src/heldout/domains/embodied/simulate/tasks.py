"""The simulated tasks in words: what MetaWorld's names mean, and which objects take part.

Tasks whose scripted expert succeeds within 150 steps from every seed come first; those whose expert sometimes fails,
and those without an object to touch, come last. ``--tasks N`` takes the first N.
"""

from __future__ import annotations

from typing import NamedTuple


class SimTask(NamedTuple):
    """One task.

    Attributes:
        name: Of the MetaWorld environment, without its version.
        phrase: The task as one would say it.
        moving: What the hand does to the object while it moves, as one would say it.
        objects: The object that is handled, then what it is handled with or towards.
    """

    name: str
    phrase: str
    moving: str
    objects: tuple[str, ...]


_TABLE = """
drawer-open          | open the drawer                      | pull the drawer            | drawer handle
button-press-topdown | press the button from above          | press the button           | button
door-open            | open the door                        | pull the door              | door handle
window-open          | open the window                      | slide the window           | window handle
faucet-open          | turn the faucet on                   | turn the faucet            | faucet
drawer-close         | close the drawer                     | push the drawer            | drawer handle
plate-slide          | slide the plate into the goal        | slide the plate            | plate
door-lock            | lock the door                        | turn the lock              | lock
coffee-button        | press the button of the coffee maker | press the coffee button    | coffee button
handle-press         | press the handle down                | press the handle           | handle
hammer               | drive the nail in with the hammer    | swing the hammer           | hammer, nail
push                 | push the puck to the goal            | push the puck              | puck
window-close         | close the window                     | slide the window           | window handle
faucet-close         | turn the faucet off                  | turn the faucet            | faucet
pick-place           | carry the puck to the goal           | carry the puck             | puck
door-close           | close the door                       | push the door              | door handle
button-press         | press the button                     | press the button           | button
sweep-into           | sweep the block into the hole        | sweep the block            | block
coffee-pull          | pull the mug away from the machine   | pull the mug               | mug
coffee-push          | push the mug under the machine       | push the mug               | mug
assembly             | put the ring over the peg            | carry the ring             | ring
basketball           | put the ball into the basket         | carry the ball             | ball
box-close            | put the lid on the box               | carry the lid              | lid
button-press-topdown-wall | press the button behind the wall from above | press the button | button
button-press-wall    | press the button behind the wall     | press the button           | button
dial-turn            | turn the dial                        | turn the dial              | dial
door-unlock          | unlock the door                      | turn the lock              | lock
hand-insert          | put the block into the hole          | carry the block            | block
handle-press-side    | press the handle down from the side  | press the handle           | handle
handle-pull          | pull the handle up                   | pull the handle            | handle
handle-pull-side     | pull the handle up from the side     | pull the handle            | handle
lever-pull           | pull the lever up                    | pull the lever             | lever
peg-unplug-side      | pull the plug out                    | pull the plug              | plug
pick-place-wall      | carry the puck over the wall         | carry the puck             | puck
plate-slide-back     | slide the plate back                 | slide the plate            | plate
plate-slide-back-side | slide the plate back from the side  | slide the plate            | plate
plate-slide-side     | slide the plate sideways             | slide the plate            | plate
push-wall            | push the puck around the wall        | push the puck              | puck
stick-push           | push the box with the stick          | push with the stick        | stick, box
sweep                | sweep the block off the table        | sweep the block            | block
pick-out-of-hole     | take the puck out of the hole        | carry the puck             | puck
shelf-place          | put the block on the shelf           | carry the block            | block
bin-picking          | move the cube to the other bin       | carry the cube             | cube
disassemble          | take the ring off the peg            | carry the ring             | ring
peg-insert-side      | put the peg into the hole            | carry the peg              | peg
push-back            | pull the puck back to the goal       | pull the puck              | puck
soccer               | kick the ball into the goal          | kick the ball              | ball
stick-pull           | pull the box with the stick          | pull with the stick        | stick, box
reach                | reach the mark                       | move the puck              | puck
reach-wall           | reach the mark behind the wall       | move the puck              | puck
"""


def _rows() -> tuple[SimTask, ...]:
    rows = []
    for line in _TABLE.strip().splitlines():
        name, phrase, moving, objects = (cell.strip() for cell in line.split("|"))
        rows.append(SimTask(name, phrase, moving, tuple(objects.split(", "))))
    return tuple(rows)


TASKS = _rows()
