// Cooperative matrices of 16 x 16 and subgroups of 32, as NVIDIA's are, and AMD's: see lib/tile_cooperative.
#import tile_cooperative

const SIDE = 16u;
const SUBGROUP = 32u;
alias LeftMatrix = coop_mat16x16<f16, A>;
alias RightMatrix = coop_mat16x16<f16, B>;
alias SumMatrix = coop_mat16x16<f32, C>;
