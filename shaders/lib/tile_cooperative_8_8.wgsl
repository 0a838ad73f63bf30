// Cooperative matrices of 8 x 8 and subgroups of 8, as those of Mesa's software adapter are: see lib/tile_cooperative.
#import tile_cooperative

const SIDE = 8u;
const SUBGROUP = 8u;
alias LeftMatrix = coop_mat8x8<f16, A>;
alias RightMatrix = coop_mat8x8<f16, B>;
alias SumMatrix = coop_mat8x8<f32, C>;
